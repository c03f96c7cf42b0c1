//! The machine and the revision that figures were measured on, as the system describes them.

use std::{fs, process::Command};

/// Threads the machine offers.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Date, processor, compiler and revision, a line each.
pub fn lines() -> String {
    format!(
        "- date: {}\n- processor: {}, {} threads\n- compiler: {}\n- revision: {}\n",
        output("date", &["-u", "+%Y-%m-%d"]),
        processor(),
        threads(),
        output("rustc", &["--version"]),
        output("git", &["describe", "--always", "--dirty"])
    )
}

fn processor() -> String {
    let listed = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let of = |key: &str| {
        let line = listed.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let vectors = ["avx512f", "avx2", "asimd"]
        .into_iter()
        .find(|&flag| listed.lines().any(|line| line.split_whitespace().any(|word| word == flag)));
    match (of("model name"), vectors) {
        // Virtual machines often hide the product's name; family and model still tell it.
        (Some(name), Some(vectors)) => {
            let number = |key| of(key).unwrap_or_default();
            format!("{name} (family {}, model {}; {vectors})", number("cpu family"), number("model\t"))
        }
        _ => output("sysctl", &["-n", "machdep.cpu.brand_string"]),
    }
}

/// The output of a command; "unknown" if it fails.
fn output(program: &str, arguments: &[&str]) -> String {
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}
