//! Every chart of every kind of run is drawn, with its text, and without panic.

use plotters::backend::BitMapBackend;
use plotters::prelude::IntoDrawingArea;

use super::canvas::Medium;
use super::*;
use crate::report::fixture;

fn table(record: &RunRecord) -> SeriesTable {
    let folder = fixture::folder(record);
    let trial = status::shown_trial(record).map_or(1, |trial| trial.trial);
    SeriesTable::read(&folder.path().join("series.csv"), trial).expect("readable")
}

fn svg(record: &RunRecord, chart: Chart) -> String {
    let series = table(record);
    chart.svg(&Figures::new(record, &series)).expect("drawn")
}

#[test]
fn every_chart_has_title_axes_and_curves_with_the_embedded_font_alone() {
    let record = fixture::pass();
    for chart in Chart::ALL {
        let svg = svg(&record, chart);
        assert!(svg.starts_with("<svg width=\"900\""), "{}", &svg[..80]);
        assert!(svg.contains(&format!("{} — storm", chart.title())));
        assert!(svg.contains("font-family=\"sans-serif\""));
        assert!(svg.contains("co-located") && !svg.contains("INVALID") && !svg.contains("not RabbitMQ"));
        assert!(svg.matches("<polyline").count() + svg.matches("<circle").count() > 2);
        assert!(!svg.contains("no data"), "{}", chart.name());
    }
}

#[test]
fn no_text_stands_beyond_the_picture_however_many_parts_the_time_of_a_stage_has() {
    let mut record = fixture::pass();
    let latencies = &mut record.trials[0].latencies;
    let mut commit = (latencies
        .iter()
        .find(|summary| summary.series == "payment.service_time"))
    .expect("payment works")
    .clone();
    commit.series = "payment.commit".to_owned();
    latencies.push(commit);
    for chart in Chart::ALL {
        let svg = svg(&record, chart);
        let number = |text: &str, name: &str| -> f64 {
            let from = text.find(name).expect("an attribute") + name.len();
            let value = &text[from..];
            value[..value.find('"').expect("its end")].parse().expect("a number")
        };
        // In the units of the drawing, of which there are two for each of the picture's.
        let height = 2.0 * number(&svg, " height=\"");
        let lowest = svg
            .split("<text ")
            .skip(1)
            .map(|text| number(text, " y=\""))
            .fold(0.0, f64::max);
        assert!(lowest <= height, "{}: {lowest} of {height}", chart.name());
        if chart == Chart::StagePercentiles {
            // Five panels, two in a row.
            assert!(svg.contains(">\ncommit\n") && height >= 2.0 * 3.0 * 250.0, "{height}");
        }
    }
}

#[test]
fn a_png_shows_ink_where_the_title_stands() {
    let record = fixture::pass();
    let series = table(&record);
    let figures = Figures::new(&record, &series);
    font::register().expect("the embedded font");
    let drawing = OfTrial {
        chart: Chart::Throughput,
        figures: &figures,
    };
    let (width, height) = picture::pixels(&drawing);
    let mut pixels = vec![0; (width * height * 3) as usize];
    {
        let backend = BitMapBackend::with_buffer(&mut pixels, (width, height));
        let canvas = Canvas::new(backend.into_drawing_area(), Medium::Bitmap);
        Chart::Throughput.draw(&canvas, &figures).expect("drawn");
        canvas.present().expect("drawn");
    }
    let dark = |y: u32, x: u32| pixels[((y * width + x) * 3) as usize] < 0x60;
    let ink = (25..65)
        .flat_map(|y| (30..500).map(move |x| (y, x)))
        .filter(|(y, x)| dark(*y, *x))
        .count();
    assert!(ink > 1_000, "{ink} dark pixels");
    assert!(
        (1_400..1_500).all(|x| !dark(30, x)),
        "the title ends before the right half"
    );
}

#[test]
fn without_data_every_chart_says_so() {
    let record = fixture::no_data();
    for chart in Chart::ALL {
        assert!(svg(&record, chart).contains("no data"), "{}", chart.name());
    }
    let mut empty = record;
    empty.trials.clear();
    for chart in Chart::ALL {
        assert!(svg(&empty, chart).contains("no data"), "{}", chart.name());
    }
}

#[test]
fn what_the_reader_must_know_stands_on_every_chart() {
    let (embedded, failed) = (fixture::embedded(), fixture::failed());
    for chart in Chart::ALL {
        let svg_of_embedded = svg(&embedded, chart);
        assert!(svg_of_embedded.contains(status::EMBEDDED) && svg_of_embedded.contains("debug build"));
        assert!(svg(&failed, chart).contains("INVALID"), "{}", chart.name());
    }
    let throughput = svg(&failed, Chart::Throughput);
    for band in ["warm-up", "drain", "broker pause", "blocked"] {
        assert!(throughput.contains(band), "{band}");
    }
    assert!(svg(&fixture::three_trials(), Chart::Backlog).contains("trial 1 of 3"));
}

#[test]
fn hostile_text_stays_text() {
    let record = fixture::hostile();
    for chart in Chart::ALL {
        let svg = svg(&record, chart);
        assert!(
            !svg.contains("<script") && !svg.contains('\u{1b}') && !svg.contains('\u{7}') && !svg.contains('\u{202e}')
        );
    }
}

#[test]
fn absurd_values_are_drawn_without_panic() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("series.csv");
    let mut text = String::from("trial,time_s,series,value\n");
    for (time, value) in [
        ("-1e300", "1e300"),
        ("0", "-1e300"),
        ("0", "0"),
        ("1e300", "1e-300"),
        ("5", "1e18"),
    ] {
        for series in [
            "goodput_per_s",
            "end_to_end_ns_p50",
            "backlog_messages.payment.ready",
            "driver_cpu_share",
            "driver_rss_bytes",
        ] {
            text.push_str(&format!("1,{time},{series},{value}\n"));
        }
    }
    std::fs::write(&path, text).expect("written");
    let series = SeriesTable::read(&path, 1).expect("legal");
    let record = fixture::pass();
    for chart in Chart::ALL {
        chart.svg(&Figures::new(&record, &series)).expect("drawn");
    }
}
