//! Machines without s6: everything is refused, with what to use instead.

use crate::error::{Error, Kind};
use crate::hermes::container::Supervisor;
use crate::text::messages::{Text, text};

/// What is said where `supervisor` is not ours to do `what` with.
pub(crate) fn refusal(supervisor: Supervisor, what: Text) -> Box<Error> {
    let instead = match supervisor {
        Supervisor::Systemd => {
            text!("systemd supervises services here: use hermes gateway, or systemctl --user")
        }
        _ => text!("nothing supervises gateways here: use hermes gateway run"),
    };
    Error::new(Kind::Unsupervised, what, supervisor.word(), instead)
}

/// The same, of what is registered while the container runs.
pub(crate) fn unsupported(supervisor: Supervisor, what: Text) -> Box<Error> {
    let why =
        text!("does not support runtime profile gateway registration (container-only feature)");
    Error::new(Kind::Unsupervised, what, supervisor.word(), why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::slot::Registration;
    use crate::gateway::transition::Target;
    use crate::manager::{ServiceManager, Timeout};
    use crate::model::profile::Profile;
    use std::time::Duration;

    #[test]
    fn hosts_refuse_and_say_what_to_use() {
        for (kind, instead) in
            [(Supervisor::Systemd, "systemctl --user"), (Supervisor::None, "hermes gateway run")]
        {
            let host = ServiceManager::Host(kind);
            let profile = [Profile::Default];
            assert!(!host.is_s6());
            let time = Duration::ZERO;
            let registration = [
                host.register(&Profile::Default, &Registration::default()).map(drop),
                host.unregister(&profile, time).remove(0).map(drop),
            ];
            for refused in registration {
                let error = refused.unwrap_err();
                assert_eq!(error.kind, Kind::Unsupervised);
                let text = error.to_string();
                let end = "does not support runtime profile gateway registration (container-only feature)";
                assert!(text.ends_with(end), "{text}");
            }
            let lifecycle = [
                host.bring(Target::Start, &profile, Timeout::NoWait),
                host.bring(Target::Stop, &profile, Timeout::Never),
                host.bring(Target::Restart, &profile, Timeout::After(time)),
                vec![Err(refusal(kind, text!("watch gateways")))],
            ];
            for mut refused in lifecycle {
                let error = refused.remove(0).unwrap_err();
                assert_eq!(error.kind, Kind::Unsupervised);
                let text = error.to_string();
                assert!(text.contains(kind.word()) && text.ends_with(instead), "{text}");
                assert!(refused.is_empty());
            }
        }
    }
}
