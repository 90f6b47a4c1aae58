//! Generated files are what the code makes, and what the documents point at exists.
//!
//! `ORDERSTORM_BLESS=1 cargo test --test docs` rewrites the generated files.

use std::path::{Path, PathBuf};
use std::process::Command;

use orderstorm::workload::keys::{FAULT_KEYS, FAULTS, KEYS};
use orderstorm::workload::{reference::reference, schema::schema};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Compares a committed file with what the code makes, or writes it when asked to.
fn assert_generated(path: &str, made: &str) {
    let file = root().join(path);
    if std::env::var("ORDERSTORM_BLESS").is_ok_and(|value| value == "1") {
        std::fs::write(&file, made).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    let differs = committed
        .lines()
        .zip(made.lines())
        .position(|(left, right)| left != right);
    assert!(
        committed == made,
        "{path} is not what the code makes, from line {} on: ORDERSTORM_BLESS=1 cargo test --test docs",
        differs.unwrap_or_else(|| committed.lines().count().min(made.lines().count())) + 1
    );
}

#[test]
fn the_reference_of_workload_files_is_the_table_of_keys() {
    let made = reference();
    // The fault script is a table of its own.
    let keys = KEYS.iter().filter(|key| key.path != FAULTS).chain(FAULT_KEYS);
    for key in keys {
        assert!(made.contains(&format!("| `{}` |", key.path)), "{}", key.path);
    }
    assert_generated("docs/WORKLOADS.md", &made);
}

#[test]
fn the_committed_schema_is_the_table_of_keys() {
    let mut made = serde_json::to_string_pretty(&schema()).expect("a schema is JSON");
    made.push('\n');
    assert_generated("workloads/schema.json", &made);
}

/// Where the parts of `run.json` are declared, each file with the structs that are written from it.
const RUN_JSON: [(&str, &[&str]); 6] = [
    ("src/results/record.rs", &[]),
    ("src/measure/recorder.rs", &["Summary", "Quantile"]),
    (
        "src/ledger/settle.rs",
        &["LedgerReport", "Fates", "Trail", "EffectCount", "StageCounts"],
    ),
    ("src/results/capacity.rs", &[]),
    ("src/ledger/stock.rs", &["StockReport"]),
    ("src/ledger/promise.rs", &["PromiseReport"]),
];

/// A Rust type as JSON has it.
fn json_type(rust: &str) -> String {
    let inside = |name: &str| rust.strip_prefix(name)?.strip_prefix('<')?.strip_suffix('>');
    if let Some(inner) = inside("Option") {
        return format!("{} or null", json_type(inner));
    }
    if let Some(inner) = inside("Vec") {
        return format!("list of {}", json_type(inner));
    }
    if let Some((_, value)) = inside("BTreeMap").and_then(|inner| inner.split_once(", ")) {
        return format!("object of {}", json_type(value));
    }
    if let Some(parts) = rust.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        let parts: Vec<String> = parts.split(", ").map(json_type).collect();
        return format!("[{}]", parts.join(", "));
    }
    match rust {
        "String" => "text".to_owned(),
        "bool" => "true, false".to_owned(),
        "f64" | "u8" | "u32" | "u64" | "i64" | "usize" => "number".to_owned(),
        other => format!("`{other}`"),
    }
}

/// The comment lines of Rust, joined, without links into the code.
fn prose(comments: &[&str]) -> String {
    let text: Vec<&str> = comments
        .iter()
        .map(|line| line.trim_start_matches('/').trim())
        .collect();
    text.join(" ").replace("[`", "`").replace("`]", "`").replace('|', "\\|")
}

/// The structs of a source file with their fields as tables; all of them, if none is named.
fn tables(source: &str, wanted: &[&str]) -> String {
    let (mut made, mut comments, mut open): (String, Vec<&str>, bool) = (String::new(), Vec::new(), false);
    for line in source.lines() {
        let line = line.trim();
        if line.starts_with("///") {
            comments.push(line);
        } else if let Some(name) = line
            .strip_prefix("pub struct ")
            .and_then(|rest| rest.strip_suffix(" {"))
        {
            open = wanted.is_empty() || wanted.contains(&name);
            if open {
                let about = prose(&comments);
                made += &format!("\n## {name}\n\n{about}\n\n| key | value | meaning |\n|---|---|---|\n");
            }
            comments.clear();
        } else if let (true, Some((name, rust))) =
            (open, line.strip_prefix("pub ").and_then(|field| field.split_once(": ")))
        {
            let (value, about) = (json_type(rust.trim_end_matches(',')), prose(&comments));
            made += &format!("| `{name}` | {value} | {about} |\n");
            comments.clear();
        } else if !line.starts_with("#[") {
            open &= line != "}";
            comments.clear();
        }
    }
    made
}

#[test]
fn the_manual_of_run_json_is_what_the_code_says_of_its_fields() {
    let mut made = String::from(
        "# run.json\n\nMade from the code: `ORDERSTORM_BLESS=1 cargo test --test docs`. The file is one `RunRecord`. A value that is not known is\n\
         null or missing, never zero. Names end in their unit (`_s`, `_ns`, `_bytes`, `_per_s`); a share goes from 0 to 1. The keys of a\n\
         `Workload` are those of [WORKLOADS.md](WORKLOADS.md), in the words of the code; a `Band` that is part of a `LoadPhaseRecord` has its keys\n\
         there directly. A `Verdict` is `pass`, `fail` or `unknown`.\n",
    );
    for (file, wanted) in RUN_JSON {
        let tables = tables(&read(&root().join(file)), wanted);
        let found = tables.matches("\n## ").count();
        assert!(found >= wanted.len().max(1), "{file} declares {found} of {wanted:?}");
        made += &tables;
    }
    assert_generated("docs/RUN_JSON.md", &made);
}

/// The Markdown files that people read.
fn documents() -> Vec<PathBuf> {
    let mut documents = vec![root().join("README.md"), root().join("CHANGELOG.md")];
    for folder in ["docs", "results", "deploy"] {
        let Ok(entries) = root().join(folder).read_dir() else {
            continue;
        };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        documents.extend(paths.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    documents
}

/// Targets of Markdown links and images, without their fragments.
fn link_targets(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?;
        Some(target.split('#').next().unwrap_or_default())
    })
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut broken = Vec::new();
    for document in documents() {
        let folder = document.parent().expect("a file is in a folder").to_owned();
        for target in link_targets(&read(&document)) {
            let elsewhere = target.is_empty() || target.contains("://");
            if !elsewhere && !folder.join(target).exists() {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn link_targets_are_found_in_text_and_images() {
    let found: Vec<&str> = link_targets("see [a](docs/A.md#part) and ![b](img/b.png), not (this)").collect();
    assert_eq!(found, ["docs/A.md", "img/b.png"]);
}

/// Files that a document names in backticks by their path, such as `src/workload/keys.rs`.
fn named_sources(text: &str) -> impl Iterator<Item = &str> {
    let tops = [
        "src/",
        "tests/",
        "benches/",
        "scripts/",
        "workloads/",
        "docs/",
        "deploy/",
        ".ci/",
    ];
    let spans = text.split('`').skip(1).step_by(2);
    spans.filter(move |span| tops.iter().any(|top| span.starts_with(top)) && !span.contains([' ', '*', '<', '{', '\n']))
}

#[test]
fn files_that_documents_name_exist() {
    let mut missing = Vec::new();
    for document in documents() {
        for name in named_sources(&read(&document)) {
            if !root().join(name).exists() {
                missing.push(format!("{}: {name}", document.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn every_setting_on_a_command_line_of_the_documents_is_a_key() {
    for document in documents() {
        let text = read(&document);
        for setting in text.split("--set ").skip(1) {
            let path: String = setting
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || "._".contains(*c))
                .collect();
            // Placeholders are written in capitals; variants have names of the workload's own.
            let placeholder = path.chars().all(|c| c.is_ascii_uppercase()) || path.starts_with("variants.");
            assert!(
                placeholder || orderstorm::workload::keys::find(&path).is_some(),
                "{}: --set {path}",
                document.display()
            );
        }
    }
}

#[test]
fn every_verb_and_exit_code_of_the_program_is_in_the_readme() {
    let readme = read(&root().join("README.md"));
    let help = Command::new(env!("CARGO_BIN_EXE_orderstorm"))
        .arg("--help")
        .output()
        .expect("the program runs");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let commands = help
        .split("Commands:")
        .nth(1)
        .and_then(|rest| rest.split("Options:").next());
    let names = commands.unwrap_or_default().lines().filter_map(|line| {
        // A name stands two blanks in; the rest of a wrapped description further.
        let name = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '))?;
        name.split_whitespace().next()
    });
    let names: Vec<&str> = names.filter(|name| *name != "help").collect();
    assert!(names.len() >= 8, "{help}");
    for name in names {
        assert!(
            readme.contains(&format!("`{name}")),
            "README.md does not name the verb {name}"
        );
    }
    for code in ["| 0 |", "| 1 |", "| 2 |", "| 3 |", "| 5 |", "| 130 |"] {
        assert!(readme.contains(code), "README.md does not explain the exit code {code}");
    }
}

#[test]
fn every_shipped_workload_is_in_the_readme() {
    let readme = read(&root().join("README.md"));
    let folder = root().join("workloads");
    let files = folder.read_dir().expect("the folder is part of the source");
    let names = files.filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        name.strip_suffix(".toml").map(str::to_owned)
    });
    let missing: Vec<String> = names
        .filter(|name| !readme.contains(&format!("| `{name}` |")))
        .collect();
    assert!(missing.is_empty(), "README.md does not name {missing:?}");
}

/// docker-compose is not everywhere; where it is, it must accept the file. It starts nothing.
#[test]
fn docker_compose_accepts_the_compose_file() {
    let file = root().join("docker-compose.yml");
    let candidates: [&[&str]; 2] = [&["docker", "compose"], &["docker-compose"]];
    let answers = candidates.iter().any(|words| {
        Command::new(words[0])
            .args(&words[1..])
            .arg("version")
            .output()
            .is_ok_and(|output| output.status.success())
    });
    if !answers {
        println!("skipped: neither docker compose nor docker-compose is installed");
        return;
    }
    let accepted = candidates.iter().any(|words| {
        Command::new(words[0])
            .args(&words[1..])
            .arg("-f")
            .arg(&file)
            .args(["config", "-q"])
            .output()
            .is_ok_and(|output| output.status.success())
    });
    assert!(accepted, "{} is not a legal compose file", file.display());
}

#[test]
fn ports_of_the_compose_file_are_bound_to_this_machine_only() {
    let text = read(&root().join("docker-compose.yml"));
    let ports: Vec<&str> = ["5672", "15672", "15692"]
        .into_iter()
        .filter(|port| text.contains(&format!("127.0.0.1:{port}:{port}")))
        .collect();
    assert_eq!(ports, ["5672", "15672", "15692"]);
    assert!(!text.contains("0.0.0.0"));
}
