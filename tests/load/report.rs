//! The page with charts.

use std::fs;

use crate::common::Server;
use crate::run::{load, url_of};

/// The data in a page.
fn data_of(page: &str) -> serde_json::Value {
    let (_, rest) = page.split_once(r#"id="data">"#).expect("a place for data");
    let (data, _) = rest.split_once("</script>").expect("its end");
    serde_json::from_str(data).expect("JSON")
}

#[test]
fn the_page_has_the_data_and_asks_the_network_for_nothing() {
    let server = Server::echo(&[]);
    let url = url_of(&server, "/?a=</script><b>");
    let folder = std::env::temp_dir().join(format!("throng-report-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("report.html");
    let file_name = file.to_str().expect("a name");
    let url = url.replace(['<', '>'], "_"); // no URL holds these
    let done = load(&["echo", &url, "-c", "3", "-t", "1.1", "-w", "0", "--report", file_name]);
    assert_eq!(done.status, 0, "{}", done.errors);
    let page = fs::read_to_string(&file).expect("a page");
    fs::remove_dir_all(&folder).expect("it was made here");
    let data = data_of(&page);
    assert_eq!(data["outcome"]["mode"], "echo");
    assert_eq!(data["seconds"].as_array().map(Vec::len), Some(2));
    assert!(data["curve"].as_array().is_some_and(|points| points.len() > 10), "{data}");
    assert!(data["title"].as_str().is_some_and(|title| title.contains("3 connections")));
    assert_eq!(data["subtitle"], url.as_str());
    for outside in ["src=", "href=", "url(", "@import", "fetch("] {
        assert!(!page.contains(outside), "{outside} in the page");
    }
    assert!(page.contains("uPlot") && !page.contains("/*script*/"));
}

#[test]
fn a_page_that_cannot_be_written_is_an_error() {
    let server = Server::echo(&[]);
    let url = url_of(&server, "/");
    let done = load(&["idle", &url, "-c", "1", "-t", "0.1", "--report", "/nowhere/at/all.html"]);
    assert_eq!(done.status, 1, "{}", done.errors);
    assert!(done.errors.contains("/nowhere/at/all.html"), "{}", done.errors);
}
