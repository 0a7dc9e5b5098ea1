//! The checks can fail: each on a bad sample, beside a good one that looks like it.

use super::*;

#[test]
fn size_checks_find_what_is_too_large() {
    assert_eq!(long_files("src/a.rs", &"\n".repeat(600)), [""; 0]);
    assert_eq!(long_files("src/a.rs", &"\n".repeat(601)).len(), 1);
    assert_eq!(long_lines("src/a.rs", &"\u{e9}".repeat(100)), [""; 0]);
    assert_eq!(long_lines("src/a.rs", &format!("ok\n{}", "x".repeat(101))).len(), 1);
    let function =
        |lines: usize| format!("struct A;\npub fn f(a: [u8; 2]) {{\n{}}}\n", "a;\n".repeat(lines));
    assert_eq!(long_functions("src/a.rs", &function(68)), [""; 0]);
    assert_eq!(long_functions("src/a.rs", &function(69)).len(), 1);
    assert_eq!(long_functions("src/a.rs", &format!("// {{\n{}", function(69))).len(), 1);
}

#[test]
fn word_checks_find_what_they_look_for() {
    assert_eq!(unsafe_code("src/a.rs", "// unsafe\n#![forbid(unsafe_code)]\n\"unsafe\""), [""; 0]);
    assert_eq!(unsafe_code("src/a.rs", "fn f() { unsafe { g() } }").len(), 1);
    assert_eq!(no_opening_words("src/a.rs", "//! Owns a."), [""; 0]);
    assert_eq!(no_opening_words("src/a.rs", "// a\n//! b").len(), 1);
    assert_eq!(names_with_get("src/a.rs", "fn get(); fn target_get_(); // fn get_x"), [""; 0]);
    assert_eq!(names_with_get("src/a.rs", "fn get_x()").len(), 1);
    assert_eq!(wildcards("src/proto/a.rs", "match a { Some(_) => 1,\n b_ => 2 }"), [""; 0]);
    assert_eq!(wildcards("src/proto/a.rs", "match a {\n    _ => 1,\n}").len(), 1);
    assert_eq!(wildcards("src/net/a.rs", "match a {\n    _ => 1,\n}"), [""; 0]);
}

#[test]
fn unsafe_is_found_where_it_must_not_be_or_has_no_argument() {
    let argued =
        "fn f() {\n    // SAFETY: of so many bytes,\n    // all there.\n    unsafe { g() }\n}";
    assert_eq!(unsafe_code(UNSAFE_ALLOWED_IN, argued), [""; 0]);
    assert_eq!(unsafe_code("src/frame/mask/mod.rs", argued).len(), 1);
    assert_eq!(unsafe_code(UNSAFE_ALLOWED_IN, "// It is fast.\nunsafe { g() }").len(), 1);
    assert_eq!(unsafe_code(UNSAFE_ALLOWED_IN, &format!("{argued}\nunsafe {{}}")).len(), 1);
    assert_eq!(unsafe_lint("src/lib.rs", "//! A.\n#![deny(unsafe_code)]\n"), [""; 0]);
    assert_eq!(unsafe_lint("src/lib.rs", "//! A.\n// #![deny(unsafe_code)]\n").len(), 1);
    assert_eq!(unsafe_lint("src/main.rs", "#![deny(unsafe_code)]").len(), 1);
    let lets_in = "#[expect(unsafe_code, reason = \"kernels\")]\nmod wide;";
    assert_eq!(unsafe_lint(UNSAFE_LET_IN_BY, lets_in), [""; 0]);
    assert_eq!(unsafe_lint("src/net/mod.rs", lets_in).len(), 1);
    assert_eq!(unsafe_lint("src/net/mod.rs", "#[allow(\n    unsafe_code,\n)]").len(), 1);
}

#[test]
fn the_unwrap_check_leaves_tests_and_comments_alone() {
    let fine = "/// a.unwrap()\nfn f() { a.unwrap_or(1); \".unwrap()\"; }\n\
        #[cfg(test)]\nmod tests {\n fn g() { a.unwrap() }\n}\n";
    assert_eq!(unwraps("src/a.rs", fine), [""; 0]);
    assert_eq!(unwraps("src/a.rs", &format!("{fine}fn h() {{ a.unwrap() }}")).len(), 1);
    assert_eq!(
        unwraps("src/a.rs", "#[cfg(test)]\nmod tests;\nfn h() { a.expect(\"b\") }").len(),
        1
    );
    assert_eq!(unwraps("src/a_tests.rs", "a.unwrap()"), [""; 0]);
    let allowed = [("src/a.rs", "known.unwrap()", "a reason")];
    let check = |source| not_allowed("src/a.rs", source, &[".unwrap()"], &allowed);
    assert_eq!(check("known.unwrap()"), [""; 0]);
    assert_eq!(check("other.unwrap()").len(), 1);
}

#[test]
fn the_layer_check_finds_each_kind_of_breach() {
    let faults = |path, source| breaches_of_layers(path, source).len();
    assert_eq!(faults("src/proto/inbound.rs", "use crate::frame::Header; use super::event::E;"), 0);
    assert_eq!(faults("src/proto/inbound.rs", "// use crate::net::X;"), 0);
    assert_eq!(faults("src/proto/inbound.rs", "use crate::net::Peers;"), 1);
    assert_eq!(faults("src/proto/inbound.rs", "use crate::{frame::A, net::{B, C}, hub};"), 2);
    assert_eq!(faults("src/proto/inbound.rs", "fn f(a: crate::http::Request) {}"), 1);
    assert_eq!(faults("src/proto/inbound.rs", "use super::super::net::Peers;"), 1);
    assert_eq!(faults("src/proto/mod.rs", "use super::net::Peers;"), 1);
    assert_eq!(faults("src/frame/mask.rs", "use crate::extension::X;"), 1);
    assert_eq!(faults("src/http/scan.rs", "use throng::frame::X;"), 1);
    assert_eq!(faults("src/hub/mod.rs", "use crate::net::X; use crate::proto::Y;"), 0);
    assert_eq!(faults("src/hub/mod.rs", "use crate::client::X;"), 1);
    assert_eq!(faults("src/cli/echo.rs", "use throng::net::X; use crate::cli::Y;"), 0);
    assert_eq!(faults("src/main.rs", "use crate::net::X;"), 1);
    assert_eq!(faults("src/elsewhere/mod.rs", ""), 1);
    assert_eq!(faults("src/lib.rs", "pub use crate::hub::X;"), 0);
}
