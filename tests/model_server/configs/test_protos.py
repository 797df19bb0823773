"""Messages that tensorflow-serving-api does not ship."""

from model_server.configs.protos import BatchingParameters, MonitoringConfig, SSLConfig


def test_the_numbers_of_the_fields_are_those_of_tf_serving():
    """The wire format tells numbers and types: literal bytes, as protoc's classes write them."""
    parameters = BatchingParameters(allowed_batch_sizes=[1, 2], pad_variable_length_inputs=True)
    parameters.max_execution_batch_size.value = 3
    assert parameters.SerializeToString() == bytes.fromhex("3202010238014a020803")
    config = MonitoringConfig(prometheus_config={"enable": True, "path": "/m"})
    assert config.SerializeToString() == bytes.fromhex("0a0608011202") + b"/m"
    tls = SSLConfig(server_key="k", server_cert="c", custom_ca="a", client_verify=True)
    assert tls.SerializeToString() == bytes.fromhex("0a016b1201631a01612001")
