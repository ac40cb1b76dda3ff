//! What s6-log has written: read, stamped, printed.

pub mod printer;
pub mod reader;
pub mod stamp;
pub mod timezone;
