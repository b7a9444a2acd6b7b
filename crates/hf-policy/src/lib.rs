//! From findings and policy to a verdict and an action.
