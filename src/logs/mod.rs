//! What s6-log has written: read, stamped, printed.

pub(crate) mod printer;
pub(crate) mod reader;
pub(crate) mod stamp;
pub mod timezone;
