//! The last state, as text: it is left where the board was.

use std::fmt::Write as _;

use super::figures::shown;
use super::model::{At, Link, Model};
use super::paint::cut;
use crate::cli::render;

/// Columns of a name.
const NAME: u16 = 40;

/// Nothing where there were no figures. Names are cut as on the board, so that each line is one of the terminal.
pub fn text(model: &Model) -> Option<String> {
    let At { told, .. } = model.realtime.as_ref()?;
    let mut state = (*told.whole).clone();
    for activity in &mut state.activity_statistics {
        activity.friendly_name = name(&activity.friendly_name);
    }
    let mut text = String::new();
    if let Link::Lost { loss, .. } = &model.link {
        let _ = writeln!(text, "Stale since {}: {}", model.clock.show(state.as_of), shown(&loss.why));
    }
    text.push_str(&render::realtime(&state, &name(&model.subject.channel), model.clock));
    Some(text)
}

fn name(name: &str) -> String {
    cut(&shown(name), NAME)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::api::proto::v1::{ActivityStatistics, WorkspaceRealtimeStatistics};
    use crate::cli::text::Clock;
    use crate::cli::watch::args::BoardArgs;
    use crate::cli::watch::feed::News;
    use crate::cli::watch::figures::Realtime;
    use crate::cli::watch::follow::Loss;
    use crate::cli::watch::model::Subject;
    use crate::cli::watch::paint::wide;

    /// A board of this channel, with figures.
    fn board(channel: &str, activity: &str) -> Model {
        let board = BoardArgs { title: String::new(), within: 20, target: 80, warn: 60, alarm: 180 };
        let subject = Subject { workspace: "WS1".to_owned(), channel: channel.to_owned() };
        let mut model = Model::new(board, Clock::Utc, true, String::new(), subject);
        assert_eq!(text(&model), None, "there are no figures yet");
        let told = WorkspaceRealtimeStatistics {
            workspace_sid: "WS1".to_owned(),
            account_sid: "AC1".to_owned(),
            activity_statistics: vec![ActivityStatistics { friendly_name: activity.to_owned(), ..Default::default() }],
            as_of: Some(prost_types::Timestamp { seconds: 1_790_000_000, nanos: 0 }),
            ..Default::default()
        };
        model.take(News::Realtime(Realtime::new(told)), Instant::now()).unwrap();
        model
    }

    #[test]
    fn it_names_the_channel_that_was_chosen_and_since_when_it_is_stale() {
        let mut model = board("voice", "Ready");
        let live = text(&model).unwrap();
        assert!(live.starts_with("Workspace WS1  (account AC1)\nChannel voice\nAs of 2026-09-21 14:13:20"), "{live}");
        assert!(!text(&board("", "Ready")).unwrap().contains("Channel"));
        let loss = Loss { why: "UNAVAILABLE: gone".to_owned(), is_answer: false };
        model.take(News::Lost { loss, pause: Duration::from_secs(1) }, Instant::now()).unwrap();
        let stale = format!("Stale since 2026-09-21 14:13:20 UTC: UNAVAILABLE: gone\n{live}");
        assert_eq!(text(&model).unwrap(), stale);
    }

    #[test]
    fn names_are_cut_and_steer_nothing() {
        for letter in ["x", "休"] {
            let text = text(&board(&letter.repeat(900), &letter.repeat(900))).unwrap();
            assert!(text.lines().all(|line| wide(line) <= 80) && text.matches('…').count() == 2, "{text}");
        }
        let text = text(&board("\u{1b}[2J\n", "\u{9b}31m")).unwrap();
        assert!(!text.contains(['\u{1b}', '\u{9b}']) && text.contains("Channel \u{fffd}[2J\u{fffd}\n"), "{text}");
    }
}
