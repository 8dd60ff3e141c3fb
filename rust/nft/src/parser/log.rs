//! Log statements.
use super::{Parsed, Parser};
use crate::ast::{Log, LogFlags, LogLevel};
use crate::error::Problem;
use crate::lexer::Kind;
use crate::names;

/// The longest prefix of a log line (`NF_LOG_PREFIXLEN` of Linux, without its final zero).
const MAX_LOG_PREFIX: usize = 127;

/// Levels in the order of their names.
const LEVELS: [LogLevel; 9] = [
    LogLevel::Emerg,
    LogLevel::Alert,
    LogLevel::Crit,
    LogLevel::Err,
    LogLevel::Warn,
    LogLevel::Notice,
    LogLevel::Info,
    LogLevel::Debug,
    LogLevel::Audit,
];

impl Parser<'_, '_> {
    pub(super) fn log(&mut self) -> Parsed<Log> {
        self.at += 1;
        let mut log = Log::default();
        loop {
            let Kind::Word(word) = self.peek() else { return Ok(log) };
            let twice = match word {
                "prefix" => log.prefix.is_some(),
                "level" => log.level.is_some(),
                "group" => log.group.is_some(),
                "snaplen" => log.snaplen.is_some(),
                "queue-threshold" => log.queue_threshold.is_some(),
                "flags" => false,
                _ => return Ok(log),
            };
            if twice {
                return self.fault(Problem::Twice { what: "an option of log" });
            }
            let of_group = log.group.is_some() || log.snaplen.is_some() || log.queue_threshold.is_some();
            let of_line = log.level.is_some() || log.flags != LogFlags::default();
            let (for_group, for_line) =
                (matches!(word, "group" | "snaplen" | "queue-threshold"), matches!(word, "level" | "flags"));
            if (for_line && of_group) || (for_group && of_line) {
                let earlier = "one of level, flags and group";
                return self.fault(Problem::Conflict { earlier, later: "the other" });
            }
            let others = log.prefix.is_some() || log.flags != LogFlags::default();
            if log.level == Some(LogLevel::Audit)
                || (others && word == "level" && self.peek_at(1) == Kind::Word("audit"))
            {
                return self.fault(Problem::Conflict { earlier: "level audit", later: "any other option" });
            }
            self.at += 1;
            match word {
                "prefix" => log.prefix = Some(self.log_prefix()?),
                "level" => log.level = Some(self.log_level()?),
                "flags" => self.log_flags(&mut log.flags)?,
                "snaplen" => log.snaplen = Some(self.u32("the length")?),
                "queue-threshold" => log.queue_threshold = Some(self.u16("the threshold")?),
                _ => log.group = Some(self.u16("the group")?),
            }
        }
    }

    /// Behind `flags`.
    fn log_flags(&mut self, flags: &mut LogFlags) -> Parsed<()> {
        let Kind::Word(word) = self.peek() else { return self.unexpected("flags of log") };
        self.at += 1;
        let found = match word {
            "all" => LogFlags::ALL,
            "skuid" => LogFlags::SKUID,
            "ether" => LogFlags::ETHER,
            "ip" => {
                self.expect_word("options", "`options`")?;
                LogFlags::IP_OPTIONS
            }
            "tcp" => self.tcp_log_flags()?,
            _ => {
                self.at -= 1;
                let known = ["tcp", "ip", "skuid", "ether", "all"];
                return self.unexpected_word("tcp, ip, skuid, ether or all", known);
            }
        };
        flags.0 |= found.0;
        Ok(())
    }

    /// Behind `flags tcp`.
    fn tcp_log_flags(&mut self) -> Parsed<LogFlags> {
        let mut flags = LogFlags::default();
        loop {
            flags.0 |= match self.peek() {
                Kind::Word("sequence") => LogFlags::TCP_SEQUENCE.0,
                Kind::Word("options") => LogFlags::TCP_OPTIONS.0,
                _ => return self.unexpected_word("sequence or options", ["sequence", "options"]),
            };
            self.at += 1;
            if !self.eat_symbol(",") {
                return Ok(flags);
            }
        }
    }

    fn log_prefix(&mut self) -> Parsed<String> {
        let text = self.text_value("the prefix", MAX_LOG_PREFIX)?;
        if text.contains('$') {
            self.at -= 1;
            return self.unsupported("$", "variables are not looked for in texts: write the prefix out");
        }
        Ok(text)
    }

    fn log_level(&mut self) -> Parsed<LogLevel> {
        let Kind::Word(word) = self.peek() else { return self.unexpected("the name of a level") };
        match names::LOG_LEVELS.iter().position(|&name| name == word) {
            Some(index) => {
                self.at += 1;
                Ok(LEVELS[index])
            }
            None => self
                .unexpected_word("emerg, alert, crit, err, warn, notice, info or debug", names::LOG_LEVELS),
        }
    }
}
