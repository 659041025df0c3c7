//! Running other programs: say what happens, say how long it took, fail in one line.

use anyhow::{Context, Result, bail};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Announces a step, runs it and prints how long it took.
pub fn timed<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("→ {what}");
    let start = Instant::now();
    let done = work()?;
    eprintln!("✓ {what} ({})", seconds(start.elapsed()));
    Ok(done)
}

/// Prints one line of detail.
pub fn note(text: &str) {
    eprintln!("  {text}");
}

/// Runs a program on this terminal and requires that it succeeds.
pub fn run(what: &str, command: &mut Command) -> Result<()> {
    timed(what, || {
        let status = command.status().with_context(|| starting(command))?;
        if !status.success() {
            bail!("{what}: {} ended with {status}", name(command));
        }
        Ok(())
    })
}

/// Runs a program quietly; its output is printed only when it fails.
pub fn run_quietly(what: &str, command: &mut Command) -> Result<()> {
    timed(what, || {
        let output = finish(command)?;
        if !output.status.success() {
            eprint!("{}", String::from_utf8_lossy(&output.stdout));
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
            bail!("{what}: {} ended with {}", name(command), output.status);
        }
        Ok(())
    })
}

/// Runs a program and returns what it printed.
pub fn capture(command: &mut Command) -> Result<String> {
    let output = finish(command)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said
            .lines()
            .rfind(|line| !line.trim().is_empty())
            .unwrap_or_default();
        bail!("{} ended with {}: {last}", name(command), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("output of {}", name(command)))
}

/// Tells whether a program can be started and succeeds.
pub fn succeeds(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// Writes a duration the way people say it.
pub fn seconds(elapsed: Duration) -> String {
    let whole = elapsed.as_secs();
    if whole >= 60 {
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else {
        format!("{whole}.{} s", elapsed.subsec_millis() / 100)
    }
}

fn finish(command: &mut Command) -> Result<Output> {
    command
        .stdin(Stdio::null())
        .output()
        .with_context(|| starting(command))
}

fn starting(command: &Command) -> String {
    format!("starting {}", name(command))
}

fn name(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    program
        .file_name()
        .unwrap_or(program.as_os_str())
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_like_speech() {
        assert_eq!(seconds(Duration::from_millis(1_290)), "1.2 s");
        assert_eq!(seconds(Duration::from_secs(125)), "2 min 05 s");
    }

    #[test]
    fn a_failing_program_fails_in_one_line_with_its_last_words() {
        let error =
            capture(Command::new("sh").args(["-c", "echo first >&2; echo last >&2; exit 3"]))
                .unwrap_err()
                .to_string();
        assert!(
            error.contains("last") && !error.contains("first"),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1);
    }
}
