// The vectors of train and val -> the classifier of the best epoch.
process TRAIN_CLASSIFIER {
    tag "${trainer}"
    label 'process_training'

    input:
    tuple path(table), path(checksums)
    path vectors, stageAs: 'vectors/*' // frames.faa, dnabert_s.h5 and esm2.h5 of shards, *.sha256
    tuple val(dnabert_s_sha256), val(tokenizer_sha256), val(esm2_sha256)
    tuple val(trainer), val(seed), val(class_balance), val(training_frames), val(max_epochs)
    val library

    output:
    tuple path('classifier.safetensors'), path('history.tsv'), path('training.json'), path('train_classifier.sha256'), emit: trained
    path 'versions.yml', topic: versions

    script:
    def epochs = max_epochs ? "--max-epochs ${max_epochs}" : ''
    """
    vnp_train_classifier.py --table ${table} --vectors vectors \\
        --dnabert-s-sha256 ${dnabert_s_sha256} --tokenizer-sha256 ${tokenizer_sha256} --esm2-sha256 ${esm2_sha256} \\
        --trainer ${trainer} --seed ${seed} --class-balance ${class_balance} \\
        --training-frames ${training_frames} ${epochs} --threads ${task.cpus} \\
        --checksums . vectors --process ${task.process} --library ${library}
    """

    stub:
    """
    touch classifier.safetensors training.json train_classifier.sha256 versions.yml
    printf 'epoch\\ttrain_loss\\tval_loss\\n' > history.tsv
    """
}
