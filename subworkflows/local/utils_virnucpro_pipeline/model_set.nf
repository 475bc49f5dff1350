// Values of model_set.json (CHECK_MODEL_SET) as processes take them.

// Returns [file to stage or [], word of the task's shell or '', sha256] of a component.
def componentInput(set, role) {
    def location = set.files[role]
    return [location.path ? file(location.path, glob: false) : [], location.at ? shellQuoted(location.at) : '', location.sha256]
}

// Returns the sha256 of each component that an embedding depends on.
def encoderDigests(set) {
    return ['dnabert_s', 'tokenizer', 'esm2'].collect { role -> set.components[role] }
}

// Returns the options of an encoder's tasks; '' where the default holds.
def encoderInput(set, role) {
    return ['device', 'precision', 'engine', 'attention', 'token_budget'].collect { name -> set.encoders[role][name] ?: '' }
}

// Returns [rule, residues that a partial frame needs]; 0 by a rule without partial frames.
def frameRuleInput(set) {
    return [set.frame_rule, set.min_residues ?: 0]
}

// Returns [file, sha256, prior] of the calibration in use; all empty when there is none.
def calibrationInput(set) {
    return set.calibration ? [file(set.calibration_file, glob: false), set.calibration, set.viral_prior] : [[], '', '']
}

// Returns a word of the task's shell.
def shellQuoted(text) {
    return "'" + text.toString().replace("'", "'\\''") + "'"
}
