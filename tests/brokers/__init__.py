"""Brokers for tests: a real one to be killed, one that lies on demand, and a bad line before either."""

from tests.brokers.authority import Authority
from tests.brokers.badline import BadLine, Way
from tests.brokers.liar import Liar
from tests.brokers.mosquitto import Mosquitto
from tests.brokers.packets import Properties, Version
from tests.brokers.records import Ack, Offer, Received, at_once, late, refusing, twice, withheld

__all__ = [
    "Ack",
    "Authority",
    "BadLine",
    "Liar",
    "Mosquitto",
    "Offer",
    "Properties",
    "Received",
    "Version",
    "Way",
    "at_once",
    "late",
    "refusing",
    "twice",
    "withheld",
]
