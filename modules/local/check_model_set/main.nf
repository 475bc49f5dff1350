// A model set and the options that depend on it -> what the run uses, before any other task.
process CHECK_MODEL_SET {
    label 'process_single'

    input:
    stdin // JSON: the options, and which files of the set there are
    path files, stageAs: 'set/?/*' // the small ones of these files
    path engine_profile, stageAs: 'engine_profile.json'
    val library

    output:
    path 'model_set.json', emit: model_set
    path 'provenance.json', emit: provenance
    path 'trained_set.json', emit: trained_set, optional: true
    path 'versions.yml', topic: versions

    script:
    def profile = engine_profile ? "--engine-profile ${engine_profile}" : ''
    """
    vnp_check_model_set.py --files ${files} ${profile} \\
        --process ${task.process} --library ${library}
    """
}
