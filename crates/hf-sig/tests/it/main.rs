//! Tests of the crate from outside, in one program.

#[cfg(test)]
mod acceptance;
#[cfg(test)]
mod common;
#[cfg(test)]
mod diagnostics;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod real_data;
