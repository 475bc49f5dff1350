// Values of model_set.json (CHECK_MODEL_SET) as processes take them.

// Returns [file to stage or [], word of the task's shell or '', sha256] of a component.
def componentInput(set, role) {
    def component = set.components[role]
    return [component.path ? file(component.path, glob: false) : [], component.at ? shellQuoted(component.at) : '', component.sha256]
}

// Returns the sha256 of each component that an embedding depends on.
def encoderDigests(set) {
    return ['dnabert_s', 'tokenizer', 'esm2'].collect { role -> set.components[role].sha256 }
}

// Returns the options of an encoder's tasks; '' where the default holds.
def encoderInput(set, role) {
    return ['device', 'precision', 'engine', 'attention', 'token_budget'].collect { name -> set.encoders[role][name] ?: '' }
}

// Returns [rule, residues that a partial frame needs].
def frameRuleInput(set) {
    return [set.frame_rule.rule, set.frame_rule.min_residues]
}

// Returns [file, sha256, prior] of the calibration in force; all empty when there is none.
def calibrationInput(set) {
    return set.calibration ? [file(set.calibration.path, glob: false), set.calibration.sha256, set.calibration.viral_prior] : [[], '', '']
}

// Returns a word of the task's shell.
def shellQuoted(text) {
    return "'" + text.toString().replace("'", "'\\''") + "'"
}
