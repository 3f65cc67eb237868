//! What is known of modules: the tables that depmod(8) makes, and what people wrote in modprobe.d(5).
//!
//! ```text
//!   name ─► modules.dep? ─► aliases? ─► modules.builtin?
//!              │               └─ each that fits and is not blacklisted
//!              ▼
//!   softdep pre ─ needed, innermost first ─ the module with its options ─ softdep post
//! ```

use super::glob::fits;

/// The tables as text. All but the first two have lines that begin with a word of modprobe.d.
#[derive(Debug, Default)]
pub(super) struct Tables {
    /// `modules.dep`: `PATH: PATH…`, paths below the folder of the tables, what is needed innermost last.
    pub(super) dep: String,
    /// `modules.builtin`: a path a line.
    pub(super) builtin: String,
    /// `modules.alias`, `modules.softdep` and the files of modprobe.d, one after the other.
    pub(super) rules: String,
}

/// What a name leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Modules to load, in this order.
    Load(Vec<Load>),
    /// The kernel has it built in.
    BuiltIn,
    /// Nothing that may be loaded.
    Nothing,
}

/// One module to load.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Load {
    /// Below the folder of the tables.
    pub(super) path: String,
    /// Its parameters.
    pub(super) options: String,
    /// The rest goes on without it.
    pub(super) optional: bool,
}

impl Tables {
    /// Pure: what a module's name, or an alias that the kernel asks for, leads to. `options` are for the module named.
    pub(super) fn find(&self, wanted: &str, options: &str) -> Found {
        let wanted = normal(wanted);
        let mut loads = Vec::new();
        if self.dependencies(&wanted).is_some() {
            self.add(&wanted, options, false, &mut loads);
            return Found::Load(loads);
        }
        let mut built_in = self.is_built_in(&wanted);
        for module in self.aliased(&wanted) {
            if self.dependencies(&module).is_some() {
                self.add(&module, options, false, &mut loads);
            }
            built_in = built_in || self.is_built_in(&module);
        }
        match loads.is_empty() {
            false => Found::Load(loads),
            true if built_in => Found::BuiltIn,
            true => Found::Nothing,
        }
    }

    /// The path of a module and those of the modules it needs, innermost last.
    pub(super) fn dependencies(&self, module: &str) -> Option<(&str, Vec<&str>)> {
        let mut lines = self.dep.lines().filter_map(|line| line.split_once(':'));
        let (path, needed) = lines.find(|(path, _)| name_of(path) == module)?;
        Some((path, needed.split_whitespace().collect()))
    }

    fn add(&self, module: &str, options: &str, optional: bool, loads: &mut Vec<Load>) {
        let Some((path, needed)) = self.dependencies(module) else {
            return;
        };
        if loads.iter().any(|load| load.path == path) {
            return;
        }
        let (before, after) = self.soft(module);
        for soft in before {
            self.add_soft(&soft, loads);
        }
        for needed in needed.iter().rev() {
            push(loads, needed, self.options(&name_of(needed)), optional);
        }
        let own = [self.options(module).as_str(), options].join(" ");
        push(loads, path, own.trim().to_owned(), optional);
        for soft in after {
            self.add_soft(&soft, loads);
        }
    }

    /// What goes well with a module needs no company of its own, so two that name each other come to an end.
    fn add_soft(&self, module: &str, loads: &mut Vec<Load>) {
        let Some((path, needed)) = self.dependencies(module) else {
            return;
        };
        for path in needed.iter().rev().chain([&path]) {
            push(loads, path, self.options(&name_of(path)), true);
        }
    }

    fn aliased(&self, wanted: &str) -> impl Iterator<Item = String> {
        self.rules("alias").filter_map(move |rest| {
            let (pattern, module) = rest.split_once(char::is_whitespace)?;
            let module = normal(module.trim());
            let fits = fits(&normal(pattern), wanted) && !self.is_blacklisted(&module);
            fits.then_some(module)
        })
    }

    fn is_blacklisted(&self, module: &str) -> bool {
        self.rules("blacklist").any(|name| normal(name) == module)
    }

    fn is_built_in(&self, module: &str) -> bool {
        self.builtin.lines().any(|path| name_of(path) == module)
    }

    fn options(&self, module: &str) -> String {
        let ours = self.rules("options").filter_map(|rest| {
            let (name, options) = rest.split_once(char::is_whitespace)?;
            (normal(name) == module).then_some(options.trim())
        });
        ours.collect::<Vec<_>>().join(" ")
    }

    /// What goes well before and after a module.
    fn soft(&self, module: &str) -> (Vec<String>, Vec<String>) {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for rest in self.rules("softdep") {
            let mut words = rest.split_whitespace();
            if words.next().map(normal).as_deref() != Some(module) {
                continue;
            }
            let mut list = &mut before;
            for word in words {
                match word {
                    "pre:" => list = &mut before,
                    "post:" => list = &mut after,
                    name => list.push(normal(name)),
                }
            }
        }
        (before, after)
    }

    fn rules(&self, word: &str) -> impl Iterator<Item = &str> {
        self.rules.lines().filter_map(move |line| {
            let (first, rest) = line.trim().split_once(char::is_whitespace)?;
            (first == word).then(|| rest.trim())
        })
    }
}

fn push(loads: &mut Vec<Load>, path: &str, options: String, optional: bool) {
    if loads.iter().all(|load| load.path != path) {
        let path = path.to_owned();
        loads.push(Load {
            path,
            options,
            optional,
        });
    }
}

/// The name of the module in a file.
pub(super) fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    normal(file.split_once(".ko").map_or(file, |(name, _)| name))
}

/// As the kernel says it: `-` and `_` are one, but for a range of characters in a pattern.
pub(super) fn normal(name: &str) -> String {
    let mut in_range = false;
    let each = name.chars().map(|letter| {
        in_range = (in_range || letter == '[') && letter != ']';
        if letter == '-' && !in_range { '_' } else { letter }
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(rules: &str) -> Tables {
        Tables {
            dep: "kernel/drivers/net/wireguard/wireguard.ko: kernel/net/udp_tunnel.ko kernel/lib/crypto/libcurve25519-generic.ko\n\
                  kernel/net/udp_tunnel.ko: kernel/lib/crypto/libcurve25519-generic.ko\n\
                  kernel/lib/crypto/libcurve25519-generic.ko:\n\
                  kernel/drivers/net/tun.ko.xz:\n\
                  kernel/crypto/loop-a.ko:\n\
                  kernel/crypto/loop-b.ko:\n"
                .into(),
            builtin: "kernel/fs/ext4/ext4.ko\n".into(),
            rules: format!(
                "# Aliases extracted from modules themselves.\n\
                 alias rtnl-link-wireguard wireguard\nalias char-major-10-200 tun\nalias fs-ext4 ext4\n\
                 alias two-* tun\nalias two-* wireguard\n\
                 softdep loop-a pre: loop-b\nsoftdep loop-b pre: loop-a post: absent\n{rules}"
            ),
        }
    }

    fn names(found: Found) -> Vec<String> {
        let Found::Load(loads) = found else {
            panic!("{found:?}")
        };
        loads.iter().map(|load| name_of(&load.path)).collect()
    }

    #[test]
    fn what_a_module_needs_is_loaded_before_it_and_once() {
        let expected = ["libcurve25519_generic", "udp_tunnel", "wireguard"];
        assert_eq!(names(tables("").find("wireguard", "")), expected);
        assert_eq!(names(tables("").find("rtnl-link-wireguard", "")), expected);
        assert_eq!(names(tables("").find("char-major-10-200", "")), ["tun"]);
        assert_eq!(names(tables("").find("loop_a", "")), ["loop_b", "loop_a"]);
    }

    #[test]
    fn built_in_is_fine_and_unknown_is_not() {
        assert_eq!(tables("").find("ext4", ""), Found::BuiltIn);
        assert_eq!(tables("").find("fs-ext4", ""), Found::BuiltIn);
        assert_eq!(tables("").find("fs-moonfs", ""), Found::Nothing);
    }

    #[test]
    fn what_people_configured_counts() {
        let configured = tables(
            "blacklist tun\noptions wireguard a=1\n  options udp-tunnel  b=2 c=3\nalias my-vpn wireguard\n",
        );
        assert_eq!(configured.find("char-major-10-200", ""), Found::Nothing);
        assert_eq!(
            names(configured.find("tun", "")),
            ["tun"],
            "asked for by its name"
        );
        assert_eq!(names(configured.find("two-x", "")).last().unwrap(), "wireguard");
        let Found::Load(loads) = configured.find("my_vpn", "d=4") else {
            panic!()
        };
        let options: Vec<_> = loads.iter().map(|load| load.options.as_str()).collect();
        assert_eq!(options, ["", "b=2 c=3", "a=1 d=4"]);
    }
}
