// A classifier, and the vectors of val and test -> a calibrated and measured model set.
process EVALUATE_CLASSIFIER {
    tag "${set_name}"
    label 'process_medium'

    input:
    tuple path(table), path(split), path(prepare_checksums)
    path vectors, stageAs: 'vectors/*' // frames.faa, dnabert_s.h5 and esm2.h5 of shards, *.sha256
    tuple val(dnabert_s_sha256), val(tokenizer_sha256), val(esm2_sha256)
    tuple path(classifier), path(history), path(training), path(train_checksums)
    stdin // trained_set.json: what the set says of itself and of its encoders
    tuple val(set_name), val(calibrate)
    val library

    output:
    path "${set_name}", emit: model_set
    path 'versions.yml', topic: versions

    script:
    """
    vnp_evaluate_classifier.py --table ${table} --split ${split} --vectors vectors \\
        --dnabert-s-sha256 ${dnabert_s_sha256} --tokenizer-sha256 ${tokenizer_sha256} --esm2-sha256 ${esm2_sha256} \\
        --classifier ${classifier} --history ${history} --training ${training} \\
        --base - --calibrate ${calibrate} \\
        --checksums . vectors --process ${task.process} --library ${library}
    """

    stub:
    """
    mkdir ${set_name}
    printf '{}\\n' > ${set_name}/modelset.json
    printf 'part\\tby\\tvalue\\n' > ${set_name}/metrics.tsv
    touch versions.yml
    """
}
