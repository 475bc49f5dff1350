// Files of <outdir>/pipeline_info besides versions.yml and model_set.json. A start that is refused leaves none, and no folder either.
include { parametersOfOther } from './parameters'

// Removes at the end of this program what Nextflow has written for its start, unless samples were accepted by then.
def removeIfRefused(num_samples, values) {
    def folder = new File("${values.outdir}/pipeline_info").absoluteFile // not for outdir at an address
    def last = nextflow.Global.session.config.process?.ext?.last_existing_folder
    def mark = "_${values.trace_report_suffix}."
    Runtime.runtime.addShutdownHook(
        new Thread(
            {
                if (num_samples.get() == 0) {
                    folder.listFiles()?.each { f -> f.name.contains(mark) && f.delete() }
                    removeEmptyFolders(folder, last)
                }
            }
        )
    )
}

// Removes a folder and those above it as long as they are empty, up to the one that was there before.
def removeEmptyFolders(folder, last) {
    if (last && folder.path != last && folder.delete()) {
        removeEmptyFolders(folder.parentFile, last)
    }
}

// Writes the parameters as a file for -params-file.
def writeParameters(values) {
    def left_out = ['trace_report_suffix', 'help', 'help_full', 'show_hidden', 'version'] + parametersOfOther(values.workflow)
    def used = values.findAll { name, value -> value != null && !(name in left_out) }.sort()
    def target = file("${values.outdir}/pipeline_info/params_${values.trace_report_suffix}.json", glob: false)
    target.text = groovy.json.JsonOutput.prettyPrint(groovy.json.JsonOutput.toJson(used)) + '\n'
}
