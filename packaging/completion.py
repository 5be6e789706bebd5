"""Completion for bash, zsh and fish, written out: a Tab starts no Python."""

from __future__ import annotations

from command_tree import Command, Switch


def bash(tree: Command) -> str:
    """For /usr/share/bash-completion/completions/roomd."""
    lines = [
        "# made from the command line itself",
        "_roomd() {",
        '    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command="" word',
        '    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
        '        case "$command $word" in',
        *(
            f'        "{_words(each.path[:-1])} {each.name}") command+=" {each.name}" ;;'
            for each in tree.all()
            if each.path
        ),
        "        esac",
        "    done",
        '    case "$command:$prev" in',
    ]
    for each in tree.all():
        for switch in each.switches:
            if switch.value is None:
                continue
            names = " | ".join(f'"{_words(each.path)}:{name}"' for name in switch.names)
            does = 'COMPREPLY=($(compgen -f -- "$cur"))' if switch.takes_file else "COMPREPLY=()"
            lines.append(f"    {names}) {does}; return ;;")
    lines += ["    esac", '    case "$command" in']
    for each in tree.all():
        words = [*(below.name for below in each.commands), *(name for s in each.switches for name in s.names)]
        lines.append(f'    "{_words(each.path)}") COMPREPLY=($(compgen -W "{" ".join(words)}" -- "$cur")) ;;')
    lines += ["    esac", "}", "complete -o filenames -F _roomd roomd"]
    return "\n".join(lines) + "\n"


def zsh(tree: Command) -> str:
    """For /usr/share/zsh/vendor-completions/_roomd."""
    lines = ["#compdef roomd", "# made from the command line itself", ""]
    for each in reversed(list(tree.all())):
        lines += _zsh_function(each)
    lines += ["_roomd", ""]
    return "\n".join(lines)


def _zsh_function(command: Command) -> list[str]:
    lines = [f"{_zsh_name(command)}() {{"]
    if command.commands:
        lines += ["  local curcontext=$curcontext state line", "  local -a commands", "  commands=("]
        lines += [f"    {_quoted(f'{each.name}:{each.help[0]}')}" for each in command.commands]
        lines += ["  )"]
    lines.append("  _arguments -S \\" if not command.commands else "  _arguments -C -S \\")
    for switch in command.switches:
        excluded = " ".join(switch.names)
        for name in switch.names:
            value = "" if switch.value is None else f":{switch.value}:{'_files' if switch.takes_file else ''}"
            lines.append(f"    {_quoted(f'({excluded}){name}[{_bracketed(switch.help)}]{value}')} \\")
    if command.commands:
        lines += ["    '1:command:->command' '*::argument:->rest' && return", "  case $state in"]
        lines += ["  command) _describe command commands ;;", "  rest) case $words[1] in"]
        lines += [f"    {each.name}) {_zsh_name(each)} ;;" for each in command.commands]
        lines += ["    esac ;;", "  esac"]
    else:
        lines.append(f"    {' '.join(_quoted(f'*:{word}:') for word in command.arguments[:1])}".rstrip())
    lines += ["}", ""]
    return lines


def fish(tree: Command) -> str:
    """For /usr/share/fish/vendor_completions.d/roomd.fish."""
    lines = ["# made from the command line itself", "complete -c roomd -f"]
    for each in tree.all():
        below = [command.name for command in each.commands]
        seen = [f"__fish_seen_subcommand_from {name}" for name in each.path]
        deep = "; and ".join(seen)
        if not each.path:
            here = "__fish_use_subcommand"
        elif below:
            here = f"{deep}; and not __fish_seen_subcommand_from {' '.join(below)}"
        else:
            here = deep
        lines += [
            f"complete -c roomd -n {_quoted(here)} -a {command.name} -d {_quoted(command.help[0])}"
            for command in each.commands
        ]
        lines += [f"complete -c roomd -n {_quoted(here)} {_fish_switch(switch)}" for switch in each.switches]
    return "\n".join(lines) + "\n"


def _fish_switch(switch: Switch) -> str:
    names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in switch.names)
    value = "" if switch.value is None else " -r -F" if switch.takes_file else " -x"
    return f"{names}{value} -d {_quoted(switch.help)}"


def _words(path: tuple[str, ...]) -> str:
    return "".join(f" {word}" for word in path)


def _zsh_name(command: Command) -> str:
    return "_".join(["_roomd", *command.path])


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _bracketed(text: str) -> str:
    return text.replace("[", "(").replace("]", ")").replace(":", "\\:")
