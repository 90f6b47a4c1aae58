//! What is wrong with a workload, shown as rustc shows it: file, line, column, the line itself, and how to mend it.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// A text in which mistakes can be pointed at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file's path, or `--set`.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Index of the source.
    pub source: usize,
    /// Byte range in it.
    pub span: Range<usize>,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What.
    pub message: String,
    /// How to mend it.
    pub help: Option<String>,
}

/// Whether the output may carry colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// ANSI colours.
    Ansi,
    /// Plain text.
    Plain,
}

/// All problems as text, in the order of their places.
pub fn render(problems: &[Problem], sources: &[Source], colour: Colour) -> String {
    let renderer = match colour {
        Colour::Ansi => Renderer::styled(),
        Colour::Plain => Renderer::plain(),
    };
    let mut texts: Vec<String> = Vec::new();
    for problem in problems {
        let source = &sources[problem.place.source];
        let end = source.text.len();
        let span = problem.place.span.start.min(end)..problem.place.span.end.min(end);
        let snippet = Snippet::source(&source.text)
            .path(&source.name)
            .annotation(AnnotationKind::Primary.span(span).label(""));
        let mut groups: Vec<Group<'_>> = vec![Level::ERROR.primary_title(&problem.message).element(snippet)];
        if let Some(help) = &problem.help {
            groups.push(Group::with_title(Level::HELP.secondary_title(help)));
        }
        texts.push(renderer.render(&groups));
    }
    texts.join("\n\n")
}
