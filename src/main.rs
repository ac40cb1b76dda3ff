//! The program `hermes-gw`; everything it does is in the library.

fn main() -> std::process::ExitCode {
    hermes_gw::main()
}
