"""Reading tracebacks that came from a broker."""

from hypothesis import given
from hypothesis import strategies as st

from console.widgets.traceback_text import group_frames, parse_traceback

SAMPLE = """Traceback (most recent call last):
  File "/v/lib/python3.11/site-packages/celery/app/trace.py", line 453, in trace_task
    R = retval = fun(*args, **kwargs)
        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/v/lib/python3.11/site-packages/celery/app/task.py", line 736, in __call__
    return self.run(*args, **kwargs)
  File "/home/a/shop/tasks.py", line 88, in send_invoice
    deliver(order, render_pdf(order))
  File "/home/a/shop/mailer.py", line 41, in deliver
    with get_connection() as smtp:
         ~~~~~~~~~~~~~~^^
  File "/usr/lib/python3.11/smtplib.py", line 405, in getreply
    raise SMTPServerDisconnected("Connection unexpectedly closed")
smtplib.SMTPServerDisconnected: Connection unexpectedly closed: timed out
second line
"""


def test_frames_and_error_are_read() -> None:
    parsed = parse_traceback(SAMPLE)
    assert parsed.error == "SMTPServerDisconnected"
    assert parsed.message == "Connection unexpectedly closed: timed out\nsecond line"
    assert [(f.file, f.line, f.function, f.own) for f in parsed.frames] == [
        ("trace.py", 453, "trace_task", False),
        ("task.py", 736, "__call__", False),
        ("tasks.py", 88, "send_invoice", True),
        ("mailer.py", 41, "deliver", True),
        ("smtplib.py", 405, "getreply", False),
    ]
    assert parsed.frames[3].code == "with get_connection() as smtp:"


def test_library_frames_fold_and_the_place_of_the_error_stays() -> None:
    groups = group_frames(parse_traceback(SAMPLE).frames)
    assert [(g.title, len(g.frames), g.folded) for g in groups] == [
        ("2 frames in celery.app", 2, True),
        ("", 2, False),
        ("", 1, False),
    ]


def test_own_code_can_be_named() -> None:
    parsed = parse_traceback(SAMPLE, own_paths=("mailer",))
    assert [f.function for f in parsed.frames if f.own] == ["deliver"]


def test_chained_errors_show_the_last_and_name_the_others() -> None:
    chained = (
        "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    x\nKeyError: 'k'\n\n"
        "During handling of the above exception, another exception occurred:\n\n"
        'Traceback (most recent call last):\n  File "b.py", line 2, in g\n    y\nValueError: bad\n'
    )
    parsed = parse_traceback(chained)
    assert (parsed.error, parsed.message, parsed.causes) == ("ValueError", "bad", ("KeyError: 'k'",))
    assert [f.file for f in parsed.frames] == ["b.py"]


def test_what_is_no_traceback_is_kept_as_it_is() -> None:
    assert parse_traceback("worker lost").message == "worker lost"
    assert parse_traceback("ValueError: no").error == "ValueError"
    assert parse_traceback("").frames == ()


def test_a_huge_text_is_bounded() -> None:
    frame = '  File "a.py", line 1, in f\n    x\n'
    parsed = parse_traceback("Traceback (most recent call last):\n" + frame * 50_000)
    assert len(parsed.frames) <= 1000


@given(st.text(alphabet=st.sampled_from(list('Traceback (most recent call last):\n "File,in0.^~é'))))
def test_any_text_is_survived(value: str) -> None:
    parsed = parse_traceback(value)
    group_frames(parsed.frames)
