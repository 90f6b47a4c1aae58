//! The only way into the page: markup is fixed text of the program, everything else is escaped here.

use super::super::human;

/// A page under construction. Markup is `&'static str`, so that text of others cannot become markup by mistake.
#[derive(Debug, Default)]
pub(super) struct Sink {
    out: String,
}

impl Sink {
    /// Markup of the program.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.out.push_str(markup);
        self
    }

    /// Text: control characters are dropped, markup characters escaped; good inside quoted attributes too.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for c in human::plain(text).chars() {
            match c {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '"' => self.out.push_str("&quot;"),
                '\'' => self.out.push_str("&#39;"),
                c => self.out.push(c),
            }
        }
        self
    }

    /// An element with nothing but text.
    pub(super) fn element(&mut self, open: &'static str, text: &str, close: &'static str) -> &mut Self {
        self.raw(open).text(text).raw(close)
    }

    /// A chart of ours as an inline image that is named by `label`; plotters has escaped the texts in it.
    pub(super) fn chart(&mut self, svg: &str, label: &str) -> &mut Self {
        let inner = svg.strip_prefix("<svg ").unwrap_or_default();
        if !inner.is_empty() {
            self.raw("<svg role=\"img\" aria-label=\"").text(label).raw("\" ");
            self.out.push_str(inner);
        }
        self
    }

    /// Starts a table in a box of its own, which scrolls sideways when the page is narrow. A column of numbers is marked so.
    pub(super) fn table(&mut self, label: &str, columns: &[(&str, Align)]) -> &mut Self {
        self.raw("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"")
            .text(label);
        self.raw("\"><table><thead><tr>");
        for (name, align) in columns {
            let open = match align {
                Align::Text => "<th scope=\"col\">",
                Align::Number => "<th scope=\"col\" class=\"number\">",
            };
            self.element(open, name, "</th>");
        }
        self.raw("</tr></thead><tbody>")
    }

    pub(super) fn table_end(&mut self) -> &mut Self {
        self.raw("</tbody></table></div>\n")
    }

    pub(super) fn number(&mut self, text: &str) -> &mut Self {
        self.element("<td class=\"number\">", text, "</td>")
    }

    pub(super) fn cell(&mut self, text: &str) -> &mut Self {
        self.element("<td>", text, "</td>")
    }

    pub(super) fn row_name(&mut self, text: &str) -> &mut Self {
        self.element("<th scope=\"row\" class=\"name\">", text, "</th>")
    }

    pub(super) fn finish(self) -> String {
        self.out
    }
}

/// Alignment of a column.
#[derive(Debug, Clone, Copy)]
pub(super) enum Align {
    Text,
    Number,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        let mut sink = Sink::default();
        sink.element("<p title=\"", "a\"b'<i>&\u{1b}[0m", "\">");
        assert_eq!(sink.finish(), "<p title=\"a&quot;b&#39;&lt;i&gt;&amp;[0m\">");
    }
}
