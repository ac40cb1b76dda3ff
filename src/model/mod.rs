//! Pure: names, intents, the plan, and what becomes of the dead. Imports nothing that touches the system.

pub mod backoff;
pub mod intent;
pub mod plan;
pub mod profile;
pub mod report;
