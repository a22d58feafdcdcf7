"""The order of the gallery: from a first fit to what is special."""

ORDER = [
    "plot_quickstart.py",
    "plot_telephone.py",
    "plot_stars.py",
    "plot_stackloss.py",
    "plot_choosing_rho.py",
    "plot_grid_search.py",
    "plot_groups.py",
    "plot_many_fits.py",
    "plot_inference.py",
    "plot_elastic_net.py",
    "plot_sparse.py",
    "plot_curve.py",
]


class Position:
    """Where an example stands; new ones at the end, by name."""

    def __init__(self, folder):
        pass

    def __call__(self, filename):
        return ORDER.index(filename) if filename in ORDER else len(ORDER), filename

    def __repr__(self):
        return "gallery_order.Position"  # with an address, each build would be new
