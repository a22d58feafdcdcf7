"""Minimisers of smooth convex functions that are expensive to call.

A minimiser knows neither Huber's loss nor data. It is given values and gradients, a
quadratic model of the function (`quadratic`) and bounds, and returns a `Solution` whose
status says how it ended; the caller decides whether to warn.

`descent`
    Newton or quasi-Newton steps on a quadratic model within bounds. It is a generator:
    it yields the points that it wants evaluated and is sent the answers. One fit, a
    grid of settings and the folds of a cross-validation differ only in the driver that
    answers.
`lbfgs`
    scipy's L-BFGS-B in coordinates in which the quadratic model is the identity: for
    problems on many rows, whose Hessian is too expensive to be computed at each step.

Both measure the distance from the minimum by the Newton decrement ½ gᵀH⁻¹g. For a
quadratic function with the Hessian H this is the excess of the value over the minimum
(Boyd and Vandenberghe, Convex Optimization, 2004, section 9.5.1). It does not depend on
the units of the variables. A variable that its gradient holds at a bound is left out.
"""
