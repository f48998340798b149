//! What an operator asks and does, over the ports of [`greenlight_core::operator`]. It returns data:
//! commands and the page render it.

pub mod audit;
pub mod dead_letters;
pub mod replay;
pub mod status;
