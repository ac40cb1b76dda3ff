//! Pure: names, intents and the plan. Imports nothing that touches the system.

pub mod intent;
pub mod plan;
pub mod profile;
