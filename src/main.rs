//! The `privlink` command. Everything is in the library's `cli`.

fn main() -> std::process::ExitCode {
    privlink::cli::main()
}
