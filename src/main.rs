//! The `nanoseg` binary: hands the command line to [`nanoseg::cli`].

fn main() -> std::process::ExitCode {
    nanoseg::cli::run()
}
