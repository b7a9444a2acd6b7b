//! Tests of the crate from outside, in one program.

mod acceptance;
mod common;
mod real_data;
