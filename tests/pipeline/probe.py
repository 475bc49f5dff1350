"""Asking functions of the pipeline many questions in one start of Nextflow.

A start takes five seconds: what a rule says of twenty cases is asked here, and one whole run beside
shows that the pipeline asks it too.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from conftest import NEXTFLOW, PROJECT

UTILS = "subworkflows/local/utils_virnucpro_pipeline"
PROBE = """
include { sessionToResume } from 'PROJECT/UTILS/history'
include { unusedParameters } from 'PROJECT/UTILS/parameters'
include { fault ; filesOfSet ; looksLikeSheet ; placesInSheet } from 'PROJECT/UTILS/requests'

def asked(question) {
    try {
        return answer(question)
    }
    catch (Exception fault) {
        return [error: rootOf(fault).message]
    }
}

def answer(question) {
    if (question.containsKey('command_line')) {
        return [faults: unusedParameters(question.workflow, question.command_line)]
    }
    if (question.containsKey('session')) {
        return [resume: sessionToResume(file(question.folder, glob: false), question.session, question.run_name)]
    }
    if (question.containsKey('sheet')) {
        def sheet = file("${launchDir}/${question.sheet}", glob: false)
        def places = looksLikeSheet(sheet) ? placesInSheet(sheet, launchDir) : [:]
        return [paths: places.collectEntries { text, place -> [text, place.toString()] }, faults: places.collectEntries { text, place -> [text, fault(place)] }]
    }
    return [paths: filesOfSet(file(question.folder, glob: false)).collectEntries { name, path -> [name, path.toString()] }]
}

def rootOf(fault) {
    fault.cause ? rootOf(fault.cause) : fault
}

workflow {
    def questions = new groovy.json.JsonSlurper().parse(file("${launchDir}/questions.json").toFile())
    file("${launchDir}/answers.json").text = groovy.json.JsonOutput.toJson(questions.collect { q -> asked(q) })
}
"""


def ask(folder: Path, questions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the answers in order; `error` is what would have stopped the run."""
    (folder / "probe.nf").write_text(PROBE.replace("UTILS", UTILS).replace("PROJECT", str(PROJECT)))
    (folder / "nextflow_schema.json").write_bytes((PROJECT / "nextflow_schema.json").read_bytes())
    (folder / "questions.json").write_text(json.dumps(questions))
    done = subprocess.run(
        [NEXTFLOW, "run", "probe.nf"],
        cwd=folder,
        env={**os.environ, "NXF_ANSI_LOG": "false"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    answers: list[dict[str, Any]] = json.loads((folder / "answers.json").read_text())
    assert len(answers) == len(questions)
    return answers
