"""Which topics a subscription covers, by MQTT 5 section 4.7."""


def covers(topic_filter: str, topic: str) -> bool:
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in {"#", "+"}:
        return False
    for index, want in enumerate(wanted):
        if want == "#":
            return True
        if index >= len(levels) or want not in {"+", levels[index]}:
            return False
    return len(wanted) == len(levels)


def fault(topic_filter: str) -> str | None:
    """What is wrong with this filter, if anything."""
    levels = topic_filter.split("/")
    if not topic_filter or "\0" in topic_filter:
        return "empty filter, or a null in it"
    if "#" in levels[:-1] or any(len(level) > 1 and set(level) & {"#", "+"} for level in levels):
        return f"wildcard out of place in {topic_filter!r}"
    return None
