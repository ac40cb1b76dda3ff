//! `finish`: what becomes of a gateway that has died.

/// A gateway's exit code for a fatal configuration error, as in sysexits.h.
const EX_CONFIG: u32 = 78;
/// Tells s6-supervise not to start the service again.
const PARKED: u8 = 125;

/// The exit code for s6-supervise, by the gateway's.
pub fn exit_code(gateway: u32) -> u8 {
    if gateway == EX_CONFIG { PARKED } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::exit_code;

    #[test]
    fn only_a_fatal_configuration_error_parks() {
        for (gateway, finish) in [(78, 125), (0, 0), (1, 0), (75, 0), (125, 0), (256, 0)] {
            assert_eq!(exit_code(gateway), finish, "{gateway}");
        }
    }
}
