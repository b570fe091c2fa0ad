#!/usr/bin/env bash
# Makes the stubs of the contract in ./generated, with the grpcio-tools of requirements.txt.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p generated
python3 -m grpc_tools.protoc -I ../../proto --python_out=generated --grpc_python_out=generated ../../proto/tasktally/v1/*.proto
