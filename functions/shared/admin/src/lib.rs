//! Operations for operators, over the ports of [`greenlight_core::operator`]. They return data:
//! commands and the page render it.

pub mod audit;
pub mod dead_letters;
pub mod erase;
pub mod grants;
pub mod operator;
pub mod replay;
pub mod status;
pub mod stores;
