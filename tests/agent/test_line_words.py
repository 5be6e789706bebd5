"""What libraries say of lines, in people's words."""

import pytest

from agent.line_words import NAME_SERVERS, in_words, mend_of, of_names


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate (_ssl.c:1)",
            "its certificate is signed by itself",
        ),
        (
            "websocket: [SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006); ssh: nobody listens",
            "websocket: it does not speak TLS at this port; ssh: nobody listens",
        ),
        (
            "Multiple exceptions: [Errno 111] Connect call failed, [Errno 111] Connect call failed ('', 1)",
            "nobody listens there",
        ),
        ("[Errno -3] Temporary failure in name resolution", "no name server answers"),
        ("the line broke: [Errno 104] Connection reset by peer", "the line broke: the other side reset it"),
        (
            "the line broke: EOF occurred in violation of protocol (_ssl.c:2427)",
            "the line broke: it hung up while TLS was agreed on",
        ),
        (
            "the line broke: [SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca (_ssl.c:2580)",
            "the line broke: it does not know the authority of our certificate",
        ),
        (
            "[SSL: SSLV3_ALERT_CERTIFICATE_EXPIRED] sslv3 alert certificate expired (_ssl.c:2580)",
            "it says that our certificate is out of date",
        ),
        ("timed out", "it does not answer"),
        ("it does not let 'roomd' in", "it does not let 'roomd' in"),
        (
            "[SSL: SOMETHING_NEW] nobody has seen (_ssl.c:1)",
            "[SSL: SOMETHING_NEW] nobody has seen (_ssl.c:1)",
        ),
    ],
)
def test_each_complaint_is_said_in_ours_and_the_rest_stays(theirs, ours):
    assert in_words(theirs) == ours


def test_a_mend_is_given_where_one_is_known():
    assert mend_of("[Errno -2] Name or service not known") == NAME_SERVERS
    assert of_names("[Errno -2] Name or service not known") == NAME_SERVERS
    assert of_names("websocket: no name server knows its name") == NAME_SERVERS  # in our words already
    assert of_names("[Errno 111] Connection refused") is None
    assert mend_of("something else") is None
