//! The OpenAPI document, held against the server. That it has every route of the router and no
//! other is tested beside the router.

use serde_json::Value;

use crate::{Person, api, request, server_with_tokens};

/// The document, and all that it refers to can be found in it.
fn document() -> Value {
    let server = server_with_tokens(&[]);
    let document = request(&server, "GET", "/api/openapi.json", &[], "").1;
    let mut count = 0;
    each_reference(&document, &mut |reference| {
        let place = reference.strip_prefix('#').expect("within the document");
        assert!(document.pointer(place).is_some(), "{reference}");
        count += 1;
    });
    assert!(count > 50, "{count}");
    document
}

fn each_reference(value: &Value, see: &mut impl FnMut(&str)) {
    match value {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref") {
                see(reference.as_str().expect("text"));
            }
            fields.values().for_each(|value| each_reference(value, see));
        }
        Value::Array(values) => values.iter().for_each(|value| each_reference(value, see)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn what_it_lists_is_there_and_asks_for_a_key_where_it_says_so() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let server = server_with_tokens(&[]);
    let mut count = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        let target = path.replace("{user}", "u").replace("{room}", "r").replace("{id}", "0.0.0");
        for (method, operation) in item.as_object().expect("methods") {
            if method == "parameters" {
                continue;
            }
            count += 1;
            let (answer, _) = request(&server, &method.to_uppercase(), &target, &[], "");
            let is_open = operation["security"] == serde_json::json!([]);
            assert_eq!(answer.status, if is_open { 200 } else { 401 }, "{method} {path}");
            let answers = operation["responses"].as_object().expect("answers");
            assert!(answers.contains_key(&answer.status.to_string()), "{method} {path}");
            let names = path.matches('{').count();
            let parameters = item["parameters"].as_array().map_or(0, Vec::len)
                + operation["parameters"]
                    .as_array()
                    .map_or(0, |list| list.iter().filter(|one| one["in"] == "path").count());
            assert_eq!(names, parameters, "{method} {path}");
        }
    }
    assert_eq!(count, 15);
}

const BODY_WITH_ID: &str = r#"{"room":"r","content":1,"message_id":"1"}"#;

/// The names of the fields of a schema, and those that have to be there.
fn fields(document: &Value, schema: &str) -> (Vec<String>, Vec<String>) {
    let schema = &document["components"]["schemas"][schema];
    let all = schema["properties"].as_object().expect("fields").keys().cloned().collect();
    let required = schema["required"].as_array().expect("a list").iter();
    (all, required.map(|name| name.as_str().expect("a name").to_owned()).collect())
}

#[test]
fn what_it_says_of_answers_is_so() {
    let document = document();
    let server = server_with_tokens(&[]);
    let _ann = Person::enter(&server, "/ws?room=r&name=ann");
    let room = api(&server, "GET", "/api/rooms/r", "");
    for (schema, answer) in [
        ("Health", &api(&server, "GET", "/api/health", "")),
        ("Rooms", &api(&server, "GET", "/api/rooms", "")),
        ("Room", &room),
        ("Connection", &room["connections"][0]),
        ("Connections", &api(&server, "GET", "/api/connections", "")),
        ("Count", &api(&server, "POST", "/api/revocations", r#"{"sub":"x"}"#)),
        ("Revocations", &api(&server, "GET", "/api/revocations", "")),
        ("Ok", &api(&server, "POST", "/api/broadcast", r#"{"content":1}"#)),
        ("Issued", &api(&server, "POST", "/api/tickets", r#"{"sub":"ann"}"#)),
        ("Published", &api(&server, "POST", "/api/publish", BODY_WITH_ID)),
        ("Problem", &request(&server, "GET", "/api/none", &[], "").1),
    ] {
        let (mut all, mut required) = fields(&document, schema);
        // Told where there are several: tests/cluster.
        all.retain(|name| (schema, name.as_str()) != ("Connection", "node"));
        let mut told: Vec<_> = answer.as_object().expect("an object").keys().cloned().collect();
        for list in [&mut all, &mut required, &mut told] {
            list.sort();
        }
        assert_eq!((&told, &told), (&all, &required), "{schema}: {answer}");
    }
}
