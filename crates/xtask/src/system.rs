//! Programs and drivers that the tests need of the operating system: a Chromium, npm, and a GPU that Vulkan reaches, be it software. On Debian and Ubuntu they are
//! installed, by root or with sudo; elsewhere the command that installs them is named.

use std::{
    env, fmt, fs,
    io::IsTerminal,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Result, bail};

use crate::{ROOT, npm, run, succeeds};

/// The names that a Chromium has in PATH; as in `tests/browser`.
const CHROMIUM: [&str; 5] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/// Names a Chromium by its path.
pub const NAMED: &str = "LORALAB_CHROMIUM";

/// Ubuntu's package of Chromium is a snap, which runs in no container; Playwright brings a plain one.
const PLAYWRIGHT: &str = "playwright@1.64.1";

/// Has Playwright bring its Chromium, and the libraries that it needs.
const BRING: [&str; 4] = ["install", "--with-deps", "--no-shell", "chromium"];

/// A program or driver that a machine may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Chromium,
    Npm,
    Strace,
    Vulkan,
}

const NEEDS: [Need; 4] = [Need::Chromium, Need::Npm, Need::Strace, Need::Vulkan];

/// A system, by the way in which programs are installed on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum System {
    Debian,
    Ubuntu,
    Fedora,
    Arch,
    Mac,
    Other,
}

/// Has everything that the tests need, before anything is built.
///
/// # Errors
/// If something is missing and cannot be installed from here; the sentence has the line to type.
pub fn provide() -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        println!("chromium, npm, strace, Vulkan: there");
        return Ok(());
    }
    let system = System::of(&fs::read_to_string("/etc/os-release").unwrap_or_default());
    let Some(rights) = Rights::find().filter(|_| system.has_apt()) else { bail!(advice(system, &missing)) };
    println!("this machine lacks what the tests need: {}; installing it", names(&missing));
    let packages = system.packages(&missing);
    let mut commands = Vec::new();
    if !packages.is_empty() {
        let apt = |arguments: &[&str]| {
            let mut command = rights.command("env");
            command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]).args(arguments);
            command
        };
        commands.extend([apt(&["update"]), apt(&[&["install", "-y"], packages.as_slice()].concat())]);
    }
    if system.brings_chromium(&missing) {
        let mut bring = npm::npx();
        bring.args(["--yes", PLAYWRIGHT]).args(BRING).env("PLAYWRIGHT_BROWSERS_PATH", brought());
        commands.push(bring);
    }
    for mut command in commands {
        if run(&mut command)? != ExitCode::SUCCESS {
            bail!("that failed, see its message above; {}", advice(system, &self::missing()));
        }
    }
    let missing = self::missing();
    if !missing.is_empty() {
        bail!("after installing, something is missing still; {}", advice(system, &missing));
    }
    Ok(())
}

/// The Chromium to run: the named one, the one that was brought, or one in PATH.
pub fn chromium() -> Option<PathBuf> {
    if let Some(named) = env::var_os(NAMED) {
        return Some(named.into());
    }
    // A snap says so, and may not read the temporary profile that it is given.
    let is_plain = |name: &&str| {
        let said = Command::new(name).arg("--version").output();
        said.is_ok_and(|said| said.status.success() && !said.stdout.trim_ascii_end().ends_with(b"snap"))
    };
    CHROMIUM.into_iter().find(is_plain).map(PathBuf::from).or_else(|| chrome_in(&brought()))
}

/// Advice where there is no Chromium.
pub fn without_chromium() -> String {
    format!(
        "none of {} can be run; `cargo xtask setup` installs one or says how, or give the path of a Chrome in {NAMED}",
        CHROMIUM.join(", ")
    )
}

fn brought() -> PathBuf {
    Path::new(ROOT).join("target/chromium")
}

/// The browser in a folder that Playwright filled: `chromium-1248/chrome-linux64/chrome`.
fn chrome_in(folder: &Path) -> Option<PathBuf> {
    let inside = |folder: PathBuf, start: &'static str| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.filter(move |path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start)))
    };
    let builds = inside(folder.to_owned(), "chromium-").flat_map(|build| inside(build, "chrome-linux"));
    builds.map(|build| build.join("chrome")).find(|program| program.is_file())
}

fn missing() -> Vec<Need> {
    NEEDS.into_iter().filter(|need| !need.is_there()).collect()
}

impl Need {
    fn is_there(self) -> bool {
        match self {
            Need::Chromium => chromium().is_some(),
            Need::Npm => npm::is_there(),
            Need::Strace => !cfg!(target_os = "linux") || succeeds(Command::new("strace").arg("--version")),
            Need::Vulkan => !cfg!(target_os = "linux") || vulkan_driver_is_there(),
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Need::Chromium => "a Chromium, in which the page is tested",
            Need::Npm => "npm, whose registry has axe-core, which tests the page's accessibility",
            Need::Strace => "strace, which kills a training at each of its writes",
            Need::Vulkan => "a Vulkan driver, for the kernels' tests; one in software will do",
        })
    }
}

/// True if a file says which Vulkan driver to load, where its loader looks (its documentation, *Driver discovery on Linux*).
fn vulkan_driver_is_there() -> bool {
    let named = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].into_iter().any(|name| env::var_os(name).is_some());
    let folders = ["/usr/share", "/usr/local/share", "/etc", "/usr/local/etc", "/run/opengl-driver/share"];
    let has_driver = |folder: &str| {
        let entries = fs::read_dir(Path::new(folder).join("vulkan/icd.d")).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).any(|path| path.extension().is_some_and(|extension| extension == "json"))
    };
    named || folders.into_iter().any(has_driver)
}

impl System {
    /// Out of the text of `/etc/os-release`, which only Linux has.
    fn of(release: &str) -> System {
        if cfg!(target_os = "macos") {
            return System::Mac;
        }
        let value = |key: &str| {
            let line = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_default().trim_matches(['"', '\''])
        };
        let names = value("ID").split(' ').chain(value("ID_LIKE").split(' '));
        let known = |name: &str| match name {
            "debian" => Some(System::Debian),
            "ubuntu" => Some(System::Ubuntu),
            "fedora" | "rhel" => Some(System::Fedora),
            "arch" => Some(System::Arch),
            _ => None,
        };
        // A system that is like Ubuntu is like Debian, too, and has Ubuntu's packages.
        names.filter_map(known).next().unwrap_or(System::Other)
    }

    fn has_apt(self) -> bool {
        matches!(self, System::Debian | System::Ubuntu)
    }

    /// The packages that hold what is missing.
    fn packages(self, missing: &[Need]) -> Vec<&'static str> {
        let of = |need: &Need| match (self, need) {
            (System::Ubuntu, Need::Chromium) => None,
            (System::Mac, Need::Chromium) => Some("--cask google-chrome"),
            (_, Need::Chromium) => Some("chromium"),
            (System::Mac, Need::Npm) => Some("node"),
            (_, Need::Npm) => Some("npm"),
            (_, Need::Strace) => Some("strace"),
            (System::Arch, Need::Vulkan) => Some("vulkan-swrast"),
            (_, Need::Vulkan) => Some("mesa-vulkan-drivers"),
        };
        missing.iter().filter_map(of).collect()
    }

    /// The line that a person types to install what is missing; none where it is not known.
    fn line(self, missing: &[Need]) -> Option<String> {
        let install = match self {
            System::Debian | System::Ubuntu => "sudo apt-get update && sudo apt-get install -y",
            System::Fedora => "sudo dnf install -y",
            System::Arch => "sudo pacman -S --needed",
            System::Mac => "brew install",
            System::Other => return None,
        };
        let packages = self.packages(missing);
        let installs = (!packages.is_empty()).then(|| format!("{install} {}", packages.join(" ")));
        let brings = self.brings_chromium(missing).then(|| {
            format!("PLAYWRIGHT_BROWSERS_PATH={} npx --yes {PLAYWRIGHT} {}", brought().display(), BRING.join(" "))
        });
        Some([installs, brings].into_iter().flatten().collect::<Vec<_>>().join(" && "))
    }

    fn brings_chromium(self, missing: &[Need]) -> bool {
        self == System::Ubuntu && missing.contains(&Need::Chromium)
    }
}

/// Tells a person how to get what is missing.
fn advice(system: System, missing: &[Need]) -> String {
    let todo = system.line(missing).map_or_else(
        || format!("install them the way this system does, or give the path of a Chrome in {NAMED}"),
        |line| format!("type this, then try again:\n  {line}"),
    );
    format!("the tests need what this machine lacks ({}); {todo}", names(missing))
}

fn names(missing: &[Need]) -> String {
    missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The way in which a command gets the rights to install packages.
#[derive(Clone, Copy)]
enum Rights {
    Root,
    /// By sudo, which may ask for a password.
    Sudo,
}

impl Rights {
    fn find() -> Option<Rights> {
        let user = Command::new("id").arg("-u").output().ok()?;
        if user.stdout.trim_ascii() == b"0" {
            return Some(Rights::Root);
        }
        let asks = || std::io::stdin().is_terminal() && succeeds(Command::new("sudo").arg("--version"));
        (succeeds(Command::new("sudo").args(["-n", "true"])) || asks()).then_some(Rights::Sudo)
    }

    fn command(self, program: &str) -> Command {
        match self {
            Rights::Root => Command::new(program),
            Rights::Sudo => {
                let mut command = Command::new("sudo");
                command.arg(program);
                command
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_are_known_by_their_release_file() {
        for (release, system) in [
            ("PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n", System::Debian),
            ("ID=ubuntu\nID_LIKE=debian\n", System::Ubuntu),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", System::Ubuntu),
            ("ID=raspbian\nID_LIKE=debian\n", System::Debian),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", System::Fedora),
            ("ID=arch\n", System::Arch),
            ("ID=nixos\n", System::Other),
            ("", System::Other),
        ] {
            if !cfg!(target_os = "macos") {
                assert_eq!(System::of(release), system, "{release}");
            }
        }
    }

    #[test]
    fn what_is_missing_is_one_line_to_type() {
        let line = |system: System, missing: &[Need]| system.line(missing).expect("it is known there");
        assert_eq!(
            line(System::Debian, &NEEDS),
            "sudo apt-get update && sudo apt-get install -y chromium npm strace mesa-vulkan-drivers"
        );
        assert_eq!(line(System::Debian, &[Need::Npm]), "sudo apt-get update && sudo apt-get install -y npm");
        let ubuntu = line(System::Ubuntu, &NEEDS);
        assert!(ubuntu.contains("install -y npm strace mesa-vulkan-drivers && PLAYWRIGHT_BROWSERS_PATH="), "{ubuntu}");
        assert!(!line(System::Ubuntu, &[Need::Chromium]).contains("apt-get"));
        assert!(advice(System::Fedora, &[Need::Vulkan]).contains("a Vulkan driver"));
        assert!(advice(System::Other, &[Need::Chromium]).contains(NAMED));
    }

    #[test]
    fn a_browser_that_was_brought_is_found() {
        let folder = env::temp_dir().join(format!("loralab-brought-{}", std::process::id()));
        assert_eq!(chrome_in(&folder), None);
        let program = folder.join("chromium-1248/chrome-linux64/chrome");
        fs::create_dir_all(program.parent().expect("it has one")).expect("a temporary folder");
        fs::create_dir_all(folder.join("ffmpeg-1013")).expect("a temporary folder");
        fs::write(&program, "").expect("a temporary file");
        assert_eq!(chrome_in(&folder), Some(program));
        fs::remove_dir_all(folder).expect("it was written");
    }
}
