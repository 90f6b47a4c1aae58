//! The JSON Schema of workload files (draft 2020-12), made from the table in [`super::keys`], for editors.

use serde_json::{Map, Value, json};

use super::keys::{self, KEYS, Key, Kind};
use crate::events::Stage;

/// The schema; unknown keys are refused at each level, as the checker does.
pub fn schema() -> Value {
    let mut root = section();
    for key in KEYS {
        let parts: Vec<&str> = key.path.split('.').collect();
        insert(&mut root, &parts, key);
    }
    let body = root.as_object_mut().expect("a section is an object");
    body.insert(
        "$schema".to_owned(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    body.insert("title".to_owned(), json!("orderstorm workload"));
    root
}

fn section() -> Value {
    json!({ "type": "object", "additionalProperties": false, "properties": {} })
}

fn insert(at: &mut Value, parts: &[&str], key: &Key) {
    let Some(properties) = at.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    match parts {
        [] => {}
        [leaf] => {
            properties.insert((*leaf).to_owned(), leaf_schema(key));
        }
        ["*", rest @ ..] => {
            for stage in Stage::ALL {
                insert(properties.entry(stage.name()).or_insert_with(section), rest, key);
            }
        }
        [name, rest @ ..] => insert(properties.entry(*name).or_insert_with(section), rest, key),
    }
}

fn leaf_schema(key: &Key) -> Value {
    let quantity = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    let mut schema = match key.kind {
        Kind::Duration { .. } => quantity(r"^[0-9._]+ *(ns|us|µs|ms|s|sec|m|min|h|d)( ?[0-9]+ *[a-z]+)*$"),
        Kind::Rate { .. } => quantity(r"^[0-9._]+ */ *(s|sec|second|m|min|minute|h|hour)$"),
        Kind::Size { .. } => quantity(r"^[0-9._]+ *(B|kB|KB|MB|GB|KiB|MiB|GiB)$"),
        Kind::Share => quantity(r"^[0-9.]+ *%$"),
        Kind::Count { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Limit { min, max } => json!({ "anyOf": [
            { "type": "integer", "minimum": min, "maximum": max },
            { "const": "unlimited" },
        ] }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Name => quantity(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"),
        Kind::ServiceTime => service_time_schema(),
        Kind::File => json!({ "type": "string", "minLength": 1 }),
        Kind::Phases => phases_schema(),
    };
    let object: &mut Map<String, Value> = schema.as_object_mut().expect("each leaf is an object");
    object.insert("description".to_owned(), json!(key.doc));
    if let Some(default) = key.default {
        let written = key.kind.default_value(default).to_string();
        object.insert(
            "default".to_owned(),
            serde_json::from_str(&written).unwrap_or_else(|_| json!(default)),
        );
    }
    schema
}

fn phases_schema() -> Value {
    let mut phase = section();
    for (name, key) in keys::phase_keys() {
        insert(&mut phase, &[name], key);
    }
    json!({ "type": "array", "minItems": 1, "maxItems": keys::PHASES_MAX, "items": phase })
}

fn service_time_schema() -> Value {
    let only = |name: &str, of: Value| json!({ "type": "object", "additionalProperties": false, "required": [name], "properties": { name: of } });
    let text = json!({ "type": "string" });
    json!({ "anyOf": [
        text,
        only("fixed", text.clone()),
        only("exponential", text.clone()),
        only("uniform", json!({ "type": "array", "items": text, "minItems": 2, "maxItems": 2 })),
        only("lognormal", json!({
            "type": "object", "additionalProperties": false, "required": ["median", "p99"],
            "properties": { "median": text, "p99": text },
        })),
    ] })
}
