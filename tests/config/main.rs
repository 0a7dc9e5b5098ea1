//! The settings of the real binary: the file, the environment, the flags; what is said of a bad
//! one; and SIGHUP while clients are connected.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;

mod changing;
mod example;
mod limits;
mod mistakes;
mod precedence;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use common::{Frame, RawClient, Server, Upgrade};

/// A file of settings that goes with the test.
pub struct SettingsFile(PathBuf);

impl SettingsFile {
    pub fn new(text: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("throng-settings-{}-{number}.toml", std::process::id());
        let file = Self(std::env::temp_dir().join(name));
        file.write(text);
        file
    }

    pub fn write(&self, text: &str) {
        fs::write(&self.0, text).expect("a file in the temporary folder");
    }

    pub fn name(&self) -> &str {
        self.0.to_str().expect("a name in UTF-8")
    }

    /// What `throng check` says of it.
    pub fn check(&self) -> Output {
        run(&["check", self.name()], &[])
    }
}

impl Drop for SettingsFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0); // it may be gone
    }
}

/// Runs the program to its end.
pub fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(common::server::program());
    let output = command.args(arguments).envs(variables.iter().copied()).output();
    output.expect("the program runs")
}

/// Standard error as lines; the program has failed with 1.
pub fn complaints(output: &Output) -> Vec<String> {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    errors.lines().map(str::to_owned).collect()
}

/// A client that speaks JSON.
pub struct Person(pub RawClient);

impl Person {
    /// Connects, and takes the welcome.
    pub fn new(server: &Server, target: &str) -> Self {
        let mut person = Self(RawClient::open(server, target));
        assert_eq!(person.read()["type"], "welcome");
        person
    }

    pub fn read(&mut self) -> serde_json::Value {
        serde_json::from_str(&self.0.read_text()).expect("JSON")
    }

    pub fn ask(&mut self, command: &str) -> serde_json::Value {
        self.0.send(Frame::text(command).bytes());
        self.read()
    }

    /// How many rooms it can join, up to 9.
    pub fn rooms(&mut self) -> usize {
        let joined = (0..9).filter(|n| {
            let answer = self.ask(&format!(r#"{{"type":"join","room":"room{n}"}}"#));
            match answer["code"].as_str() {
                None => true,
                Some("too_many_rooms") => false,
                Some(other) => panic!("{other}"),
            }
        });
        joined.count()
    }
}

/// The status of the answer to a handshake.
pub fn status(server: &Server, upgrade: &Upgrade) -> u16 {
    let mut client = RawClient::connect(server);
    client.send(upgrade.bytes());
    client.read_answer(false).status
}
