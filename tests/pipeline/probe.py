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

PROBE = """
include { encoderSettings ; engineFaults } from 'PROJECT/workflows/engine'
include { readGenomes } from 'PROJECT/workflows/genomes'
include { calibration ; checkCertified ; chunkLength ; descriptionFaults ; frameRule ; modelIdentity ; readModelSet ; setDigest } from 'PROJECT/workflows/model_set'
include { idleParameters ; schemaParameters } from 'PROJECT/workflows/parameters'
include { readSamples } from 'PROJECT/workflows/samples'

def asked(question) {
    try {
        return answer(question)
    }
    catch (Exception fault) {
        return [error: rootOf(fault).message]
    }
}

def answer(question) {
    if (question.containsKey('description')) {
        def faults = descriptionFaults(question.description)
        return [faults: faults, digest: faults ? null : setDigest(question.description)]
    }
    if (question.containsKey('samples')) {
        return [samples: readSamples(question.samples, launchDir).collect { s -> s.id }]
    }
    if (question.containsKey('genomes')) {
        return [genomes: readGenomes(question.genomes, question.training_frames, launchDir).collect { g -> g.id }]
    }
    if (question.containsKey('command_line')) {
        return [faults: idleParameters(question.workflow, question.command_line)]
    }
    if (question.containsKey('engine')) {
        def faults = engineFaults(question.engine)
        if (faults) {
            return [faults: faults]
        }
        def model = readModelSet(question.folder, null)
        checkCertified(model, question.engine.precision)
        return [encoders: encoderSettings(model, question.engine, schemaParameters())]
    }
    def model = readModelSet(question.folder, question.weights_dir)
    def rule = frameRule(model, question.frame_rule)
    def chunk_bp = chunkLength(model, question.chunk_bp, question.mismatch)
    def found = calibration(model, chunk_bp, rule[0], question.viral_prior)
    return [digest: model.digest, rule: rule, calibration: [found[0].toString(), found[1], found[2]], identity: modelIdentity(model, rule, found, '0')]
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
    (folder / "probe.nf").write_text(PROBE.replace("PROJECT", str(PROJECT)))
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
