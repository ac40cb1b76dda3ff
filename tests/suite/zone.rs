//! Local time, as the C library has it: `date` and `zdump` on all zones there are.

use crate::support;
use hermes_gw::logs::timezone::Zone;
use hermes_gw::model::calendar;
use std::fs;
use std::process::Command;
use support::{run, skipped};

const ZONES: &str = "/usr/share/zoneinfo";

/// Moments from 1906 to 2223: a bit under two weeks apart, at all times of the day.
fn moments() -> impl Iterator<Item = i64> {
    (-2_000_000_000..8_000_000_000).step_by(1_200_000 - 1_237)
}

/// The offsets in the zone `tz` as `date` has them.
fn by_date(tz: &str, moments: &[i64]) -> Vec<i32> {
    let list = tempfile::NamedTempFile::new().unwrap();
    let lines: Vec<_> = moments.iter().map(|at| format!("@{at}\n")).collect();
    fs::write(list.path(), lines.concat()).unwrap();
    let said = run(Command::new("date").env("TZ", tz).arg("-f").arg(list.path()).arg("+%::z"));
    let parse = |offset: &str| {
        let (sign, clock) = offset.split_at(1);
        let parts: Vec<i32> = clock.split(':').map(|part| part.parse().unwrap()).collect();
        let seconds = parts[0] * 3600 + parts[1] * 60 + parts[2];
        if sign == "-" { -seconds } else { seconds }
    };
    let offsets: Vec<_> = said.lines().map(parse).collect();
    assert_eq!(offsets.len(), moments.len());
    offsets
}

/// Whether `zone` has the offsets that `date` has in the zone `tz`.
#[track_caller]
fn compare(zone: &Zone, tz: &str, moments: &[i64]) {
    for (at, offset) in moments.iter().zip(by_date(tz, moments)) {
        assert_eq!(zone.offset(*at), offset, "{tz} at {at}");
    }
}

fn load(tz: &str) -> Zone {
    Zone::load(Some(tz.as_bytes())).unwrap_or_else(|error| panic!("{tz}: {error}"))
}

/// The names of all zones, where there are any.
fn names(test: &str) -> Vec<String> {
    let Ok(table) = fs::read_to_string(format!("{ZONES}/tzdata.zi")) else {
        skipped(test, "there is no tzdata; `make test` installs it");
        return Vec::new();
    };
    // Other names for the same have lines of their own.
    let names = table.lines().filter_map(|line| line.strip_prefix("Z ")?.split(' ').next());
    let there = |name: &&str| fs::metadata(format!("{ZONES}/{name}")).is_ok();
    let names: Vec<_> = names.filter(there).map(str::to_string).collect();
    assert!(names.len() > 300, "{names:?}");
    names
}

#[test]
fn every_zone_is_as_date_has_it() {
    let moments: Vec<_> = moments().collect();
    for name in names("all zones against date") {
        compare(&load(&name), &name, &moments);
    }
}

#[test]
fn every_zone_changes_at_the_second_that_zdump_says() {
    let mut changes = 0;
    for name in names("all changes against zdump") {
        let zone = load(&name);
        let said = run(Command::new("zdump").args(["-v", "-c", "1900,2100", &name]));
        for line in said.lines() {
            // As in `Europe/Berlin  Sun Mar 29 01:00:00 2026 UT = ... isdst=1 gmtoff=7200`.
            let words: Vec<_> = line.split_whitespace().collect();
            let [_, _, month, day, clock, year, "UT", .., offset] = words[..] else { continue };
            let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
            let month = months.find(month).unwrap() / 3 + 1;
            let parts: Vec<i64> = clock.split(':').map(|part| part.parse().unwrap()).collect();
            let year: i64 = year.parse().unwrap();
            if !(1900..2100).contains(&year) {
                continue;
            }
            let days = calendar::days(year, month.try_into().unwrap(), day.parse().unwrap());
            let at = days * calendar::DAY + parts[0] * 3600 + parts[1] * 60 + parts[2];
            let offset = offset.strip_prefix("gmtoff=").unwrap();
            assert_eq!(zone.offset(at).to_string(), offset, "{line}");
            changes += 1;
        }
    }
    assert!(changes == 0 || changes > 10_000, "{changes}");
}

#[test]
fn rules_are_as_date_has_them() {
    // Before 1970 the C library knows no rules.
    let moments: Vec<_> = moments().filter(|at| *at >= 0).collect();
    for rule in [
        "CET-1CEST,M3.5.0,M10.5.0/3",
        "EST5EDT",
        "EST5EDT,M3.2.0,M11.1.0",
        "AEST-10AEDT,M10.1.0,M4.1.0/3",
        "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0",
        "<-02>2<-01>,M3.5.0/-1,M10.5.0/0",
        "<+03>-3",
        "XYZ-1:02:03",
        "AAA3BBB,J60,J300/1:30",
        "AAA3BBB,59,300",
        "AAA3BBB2:30,J59/0,J60/23:59:59",
        "AAA-3BBB,M2.5.6/24,M9.4.4/0",
        "IST-2IDT,M3.4.4/26,M10.5.0",
        "UTC0",
        "UTC",
    ] {
        compare(&load(rule), rule, &moments);
        // The C library takes what follows a colon for a file alone.
        assert_eq!(load(&format!(":{rule}")), load(rule));
    }
}

#[test]
fn a_local_time_leads_to_the_first_moment_that_has_it() {
    for name in names("local times of all zones") {
        let zone = load(&name);
        // What came before was decreed at short notice at times.
        for at in moments().filter(|at| *at > 0) {
            for at in [at, at / 86_400 * 86_400 + 3600, at / 604_800 * 604_800 + 266_400] {
                let local = at + i64::from(zone.offset(at));
                let utc = zone.utc(local);
                assert_eq!(utc + i64::from(zone.offset(utc)), local, "{name} at {at}");
                assert!(utc <= at, "{name} at {at}");
            }
        }
    }
}

#[test]
fn zones_are_found_by_all_that_tz_may_say() {
    if names("what TZ may say").is_empty() {
        return;
    }
    let berlin = load("Europe/Berlin");
    assert_eq!(load(":Europe/Berlin"), berlin);
    assert_eq!(load("/usr/share/zoneinfo/Europe/Berlin"), berlin);
    assert_ne!(load("America/St_Johns"), berlin);
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    std::os::unix::fs::symlink(format!("{ZONES}/Europe/Berlin"), path("link")).unwrap();
    assert_eq!(load(&path("link")), berlin);
    // What is no zone is an error that names it; none of it blocks.
    fs::write(path("text"), "no zone").unwrap();
    run(Command::new("mkfifo").arg(path("fifo")));
    let table = [
        (
            "Europe/Atlantis",
            "read: /usr/share/zoneinfo/Europe/Atlantis: No such file or directory (ENOENT)",
        ),
        ("Europe", "read: /usr/share/zoneinfo/Europe: is a directory, not a regular file"),
        ("", "read: /usr/share/zoneinfo/: is a directory, not a regular file"),
        (&path("text"), "is no zone file"),
        (&path("fifo"), "is a FIFO, not a regular file"),
        (&path("none"), "No such file or directory (ENOENT)"),
    ];
    for (tz, why) in table {
        let error = Zone::load(Some(tz.as_bytes())).unwrap_err().to_string();
        assert!(error.ends_with(why), "{tz}: {error}");
    }
    // A file that counts leap seconds tells another time than s6-log does.
    if fs::metadata(format!("{ZONES}/right/Europe/Berlin")).is_ok() {
        assert!(Zone::load(Some(b"right/Europe/Berlin")).is_err());
    }
}

#[test]
fn zones_in_the_old_format_are_read_too() {
    if names("the old format").is_empty() || fs::metadata("/usr/sbin/zic").is_err() {
        return skipped("the old format", "there is no zic");
    }
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().to_str().unwrap();
    let sources = format!("{ZONES}/tzdata.zi");
    for style in ["fat", "slim"] {
        run(Command::new("/usr/sbin/zic").args(["-b", style, "-d", out, &sources]));
        for name in ["Europe/Berlin", "Australia/Lord_Howe", "America/Santiago", "Asia/Tehran"] {
            let path = format!("{out}/{name}");
            let (zone, whole) = (load(&path), fs::read(&path).unwrap());
            let file: Vec<_> = moments().map(|at| zone.offset(at)).collect();
            let theirs = load(name);
            let debian: Vec<_> = moments().map(|at| theirs.offset(at)).collect();
            assert!(file == debian, "{style} {name}");
            // Where the file says that it has one part, that counts: until 2037.
            let mut old = whole.clone();
            old[4] = 0;
            let old = Zone::parse(&old).unwrap();
            for at in moments().filter(|at| style == "fat" && (0..2_100_000_000).contains(at)) {
                assert_eq!(old.offset(at), theirs.offset(at), "{name} at {at}");
            }
            // One that is cut anywhere is none.
            let cut = (0..whole.len()).find(|cut| Zone::parse(&whole[..*cut]).is_some());
            assert!(cut.is_none_or(|cut| cut + 1 == whole.len()), "{style} {name}: {cut:?}");
        }
    }
}
