# For a shell, or for the `pre_rocket` line of a queue: `source environment.sh`, then `rlaunch rapidfire`.
# This file may contain a password, like my_launchpad.yaml.
export FW_CONFIG_FILE=$fw_config_file
export JOBFLOW_CONFIG_FILE=$jobflow_config_file
export CCDCGAN_AL_MONGO_URI=$shell_uri
# a fixed order of sets of strings, so that runs are reproducible
export PYTHONHASHSEED=0
# folder of finished relaxations: if a worker dies before it records a relaxation, the repeated Firework reads it from here
export CCDCGAN_AL_RELAXED_FOLDER=$relaxed_folder
