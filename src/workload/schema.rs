//! The JSON Schema of workload files (draft 2020-12), made from the table in [`super::keys`], for editors.

use serde_json::{Map, Value, json};

use super::keys::{self, KEYS, Key, Kind};
use super::matrix::{of_the_run, takes_no_list};
use crate::events::Stage;

/// The schema; unknown keys are refused at each level, as the checker does.
///
/// A value of each key is described once, under `$defs`; the file, a variant and an exclusion refer to it.
pub fn schema() -> Value {
    let mut root = tree(Form::File);
    let values: Map<String, Value> = KEYS
        .iter()
        .map(|key| (key.path.to_owned(), leaf_schema(key)))
        .chain([("variant".to_owned(), variant()), ("exclude".to_owned(), exclude())])
        .collect();
    let body = root.as_object_mut().expect("a section is an object");
    body.insert(
        "$schema".to_owned(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    body.insert("title".to_owned(), json!("orderstorm workload"));
    body.insert("$defs".to_owned(), Value::Object(values));
    let properties = body["properties"].as_object_mut().expect("a section has properties");
    properties.insert(
        "variants".to_owned(),
        json!({
            "type": "object",
            "description": "Named sets of settings, one list of them per dimension: [[variants.strategy]].",
            "propertyNames": { "pattern": NAME },
            "additionalProperties": { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/variant" } },
        }),
    );
    properties.insert(
        "matrix".to_owned(),
        json!({
            "type": "object",
            "additionalProperties": false,
            "properties": { "exclude": {
                "type": "array",
                "minItems": 1,
                "description": "Combinations that are left out: those in which each named setting has one of the values given.",
                "items": { "$ref": "#/$defs/exclude" },
            } },
        }),
    );
    root
}

const NAME: &str = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";

/// Where a key stands, which decides whether it may have several values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// At the top: a value, or a list to compare.
    File,
    /// In a variant: a value.
    Variant,
    /// In an exclusion: a value or several.
    Exclude,
}

fn tree(form: Form) -> Value {
    let mut root = section();
    let keys = KEYS
        .iter()
        .filter(|key| form == Form::File || of_the_run(key.path).is_none());
    for key in keys {
        let parts: Vec<&str> = key.path.split('.').collect();
        insert(&mut root, &parts, key, form);
    }
    root
}

fn variant() -> Value {
    let mut tree = tree(Form::Variant);
    tree["properties"]["name"] = json!({ "type": "string", "pattern": NAME, "description": "The variant's name." });
    tree["required"] = json!(["name"]);
    tree
}

fn exclude() -> Value {
    let mut tree = tree(Form::Exclude);
    let name = json!({ "type": "string", "pattern": NAME });
    tree["properties"]["variants"] = json!({
        "type": "object",
        "additionalProperties": { "anyOf": [name, { "type": "array", "minItems": 1, "items": name }] },
    });
    tree
}

fn section() -> Value {
    json!({ "type": "object", "additionalProperties": false, "properties": {} })
}

fn insert(at: &mut Value, parts: &[&str], key: &Key, form: Form) {
    let Some(properties) = at.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    match parts {
        [] => {}
        [leaf] => {
            properties.insert((*leaf).to_owned(), reference(key, form));
        }
        ["*", rest @ ..] => {
            for stage in Stage::ALL {
                insert(properties.entry(stage.name()).or_insert_with(section), rest, key, form);
            }
        }
        [name, rest @ ..] => insert(properties.entry(*name).or_insert_with(section), rest, key, form),
    }
}

/// A value of the key, or a list of them where it may be varied.
fn reference(key: &Key, form: Form) -> Value {
    let one = json!({ "$ref": format!("#/$defs/{}", key.path) });
    // A list of phases is one value, whose own values may be lists.
    if form == Form::Variant || matches!(key.kind, Kind::Phases | Kind::Faults) || takes_no_list(key.path).is_some() {
        return one;
    }
    let mut schema = json!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1, "uniqueItems": true }] });
    if form == Form::File {
        describe(key, &mut schema);
    }
    schema
}

/// Meaning and default, which editors show.
fn describe(key: &Key, schema: &mut Value) {
    schema["description"] = json!(key.doc);
    if let Some(default) = key.default {
        let written = key.kind.default_value(default).to_string();
        schema["default"] = serde_json::from_str(&written).unwrap_or_else(|_| json!(default));
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
        Kind::Choice(words) => {
            let words = words.iter().map(|word| json!(word));
            // A number may be written as one.
            let numbers = words.clone().filter_map(|word| word.as_str()?.parse::<u64>().ok());
            let all: Vec<Value> = numbers.map(|number| json!(number)).chain(words).collect();
            json!({ "enum": all })
        }
        Kind::Name => quantity(NAME),
        Kind::ServiceTime => service_time_schema(),
        Kind::Bound(_) => quantity(r"^ *(<=|>=|==|<|>) *[0-9].*$"),
        Kind::File => json!({ "type": "string", "minLength": 1 }),
        Kind::Phases => phases_schema(),
        Kind::Condition => quantity(r"^ *[a-z]+\.(backlog|ready|unacked) *>= *[0-9_]+ *$"),
        Kind::Faults => faults_schema(),
    };
    describe(key, &mut schema);
    schema
}

fn phases_schema() -> Value {
    let mut phase = section();
    for (name, key) in keys::phase_keys() {
        let is_own = !keys::SHAPE_KEYS.contains(&name);
        phase["properties"][name] = if is_own {
            leaf_schema(key)
        } else {
            reference(key, Form::File)
        };
    }
    json!({ "type": "array", "minItems": 1, "maxItems": keys::PHASES_MAX, "items": phase })
}

fn faults_schema() -> Value {
    let mut fault = section();
    for key in keys::FAULT_KEYS {
        let one = leaf_schema(key);
        let mut schema =
            json!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1, "uniqueItems": true }] });
        describe(key, &mut schema);
        fault["properties"][key.path] = schema;
    }
    // Whether a fault needs a stage depends on what it is; the program says.
    fault["required"] = json!(["what"]);
    json!({ "type": "array", "minItems": 1, "maxItems": keys::FAULTS_MAX, "items": fault })
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
