//! A flag over a variable over the file over the default.

use crate::common::{Server, Upgrade};
use crate::{Person, SettingsFile, run, status};

fn rooms(variables: &[(&str, &str)], flags: &[&str]) -> usize {
    let server = Server::serve_with(variables, flags);
    Person::new(&server, "/ws").rooms()
}

#[test]
fn a_flag_over_a_variable_over_the_file_over_the_default() {
    let file = SettingsFile::new("max_rooms = 2\n");
    let config = ["--config", file.name()];
    let variable = [("THRONG_MAX_ROOMS", "3")];
    let flag = ["--max-rooms", "4"];
    assert_eq!(rooms(&[], &[]), 9);
    assert_eq!(rooms(&[], &config), 2);
    assert_eq!(rooms(&variable, &[]), 3);
    assert_eq!(rooms(&variable, &config), 3);
    assert_eq!(rooms(&variable, &[&config[..], &flag].concat()), 4);
    assert_eq!(rooms(&[], &[&config[..], &flag].concat()), 4);
    assert_eq!(rooms(&[("THRONG_MAX_ROOMS", "")], &config), 2, "an empty one is not there");
    assert_eq!(rooms(&[("THRONG_CONFIG", file.name())], &[]), 2);
    let other = SettingsFile::new("max_rooms = 5\n");
    assert_eq!(rooms(&[("THRONG_CONFIG", file.name())], &["--config", other.name()]), 5);
}

#[test]
fn a_list_is_taken_whole_from_the_highest() {
    let file = SettingsFile::new("allow_origin = ['https://a.example', 'https://b.example']\n");
    let allowed = |variables: &[(&str, &str)], flags: &[&str]| {
        let server = Server::serve_with(variables, &[&["--config", file.name()], flags].concat());
        let enters = |letter: &&&str| {
            let origin = format!("https://{letter}.example");
            status(&server, &Upgrade::new("/ws").header("Origin", origin)) == 101
        };
        ["a", "b", "c", "d", "e"].iter().filter(enters).copied().collect::<String>()
    };
    let variable = [("THRONG_ALLOW_ORIGIN", "https://c.example, https://d.example")];
    assert_eq!(allowed(&[], &[]), "ab");
    assert_eq!(allowed(&variable, &[]), "cd");
    assert_eq!(allowed(&variable, &["--allow-origin", "https://e.example"]), "e");
}

#[test]
fn what_is_on_can_be_put_out() {
    let secret = SettingsFile::new("a secret that is long enough for anybody");
    let file = SettingsFile::new("require_token = true\n");
    let refused = |variables: &[(&str, &str)], flags: &[&str]| {
        let common = ["--config", file.name(), "--jwt-secret-file", secret.name()];
        let server = Server::serve_with(variables, &[&common[..], flags].concat());
        status(&server, &Upgrade::new("/ws")) == 401
    };
    assert!(refused(&[], &[]));
    assert!(!refused(&[], &["--require-token=false"]));
    assert!(!refused(&[("THRONG_REQUIRE_TOKEN", "no")], &[]));
    assert!(refused(&[("THRONG_REQUIRE_TOKEN", "0")], &["--require-token"]));
}

#[test]
fn check_looks_at_the_environment_as_the_server_does() {
    let file = SettingsFile::new("require_token = true\n");
    let secret = SettingsFile::new("a secret that is long enough for anybody");
    assert!(!file.check().status.success());
    let variable = [("THRONG_JWT_SECRET_FILE", secret.name())];
    let output = run(&["check", file.name()], &variable);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{}: good\n", file.name()));
}
