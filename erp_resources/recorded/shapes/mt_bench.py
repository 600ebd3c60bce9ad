"""MT-bench: judgments of single answers, and the questions with their turns in a file beside."""

from collections.abc import Sequence

from erp_resources.recorded.shapes.interface import Shape, objects, turns_of
from erp_resources.recorded.sources import File, Record, Tidy, made_rows, whole_rows
from erp_resources.settings import UserError

_NO_SCORE = -1
"""What FastChat writes where the judge's answer could not be read."""


def _is_judgment(file: File) -> bool:
    return file.keys >= {"question_id", "model", "judge", "score"} and not file.keys & {"prompt", "question"}


def _is_question(file: File) -> bool:
    return file.keys >= {"question_id", "turns"}


def _recognise(file: File) -> bool:
    return _is_judgment(file) or _is_question(file)


def _read(files: Sequence[File]) -> Tidy:
    judged = [file for file in files if not _is_question(file)]
    asked = [file for file in files if _is_question(file)]
    if not judged or not asked:
        missing, has = (
            ("judgments (question_id, model, judge, score, turn)", "questions")
            if asked
            else ("questions (question_id, turns), as in FastChat's question.jsonl", "judgments")
        )
        raise UserError(f"{files[0].name}: these are MT-bench's {has}; put the file of {missing} into the same folder")
    questions = whole_rows(asked)
    ids = questions.ids("question_id").to_pylist()
    turns = dict(zip(ids, objects(questions, "turns"), strict=True))
    categories = {}
    if "category" in questions.table.column_names:
        categories = dict(zip(ids, questions.labels("category").to_pylist(), strict=True))
    rows = whole_rows(judged)
    own = rows.ids("question_id").to_pylist()
    llms = rows.labels("model").to_pylist()
    scores = rows.numbers("score").to_pylist()
    turn = rows.numbers("turn").to_pylist() if "turn" in rows.table.column_names else [1] * len(own)
    records = []
    for row, question in enumerate(own):
        if question not in turns:
            raise UserError(f"{rows.place(row)}: question_id '{question}' is not among the questions; add it there")
        prompt = turns_of(turns[question][: int(turn[row] or 1)])
        score = None if scores[row] == _NO_SCORE else scores[row]
        values = {"prompt": prompt, "model": llms[row], "category": categories.get(question), "score": score}
        records.append(Record(int(rows.file_of[row]), int(rows.lines[row]), values))
    roles = {"prompt": "prompt", "llm": "model", "category": "category", "reward": "score"}
    notes = ("a second turn is a prompt of its own: the user's turns up to it", "a score of -1 counts as missing")
    return Tidy(made_rows(records, judged), roles, notes, "score")


MT_BENCH = Shape("MT-bench's judgments", _recognise, _read)
