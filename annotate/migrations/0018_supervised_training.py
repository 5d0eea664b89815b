"""Training sets, what runs before rounds, registered adapters, and mixes of adapters with weights."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('annotate', '0017_systems_of_studies'),
    ]

    operations = [
        migrations.CreateModel(
            name='MixedAdapter',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('position', models.PositiveSmallIntegerField()),
                ('weight', models.FloatField()),
            ],
            options={
                'ordering': ['mix', 'position'],
            },
        ),
        migrations.CreateModel(
            name='TrainingSet',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=200)),
                ('folder', models.CharField(max_length=500)),
                ('is_outside', models.BooleanField(default=False)),
                ('content_hash', models.CharField(max_length=64, unique=True)),
                ('num_instances', models.PositiveIntegerField()),
                ('facts', models.JSONField()),
                ('withdrawn', models.CharField(blank=True, max_length=300)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.RemoveConstraint(
            model_name='modelversion',
            name='annotate_modelversion_kind_known',
        ),
        migrations.RemoveConstraint(
            model_name='modelversion',
            name='annotate_modelversion_has_origin',
        ),
        migrations.RemoveConstraint(
            model_name='modelversion',
            name='annotate_modelversion_trained_has_adapter',
        ),
        migrations.RemoveConstraint(
            model_name='run',
            name='one_live_run_a_stage',
        ),
        migrations.RemoveConstraint(
            model_name='run',
            name='annotate_run_prompts_before_rounds',
        ),
        migrations.AddField(
            model_name='run',
            name='policy',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='trainings', to='annotate.modelversion'),
        ),
        migrations.AddConstraint(
            model_name='modelversion',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['base', 'sft', 'dpo', 'mix'])), name='annotate_modelversion_kind_known', violation_error_message='kind must be one of: base, sft, dpo, mix'),
        ),
        migrations.AddConstraint(
            model_name='modelversion',
            constraint=models.CheckConstraint(condition=models.Q(('parent__isnull', True), models.Q(('run__isnull', False), ('kind', 'mix'), _connector='XOR'), _connector='OR'), name='annotate_modelversion_has_origin'),
        ),
        migrations.AddConstraint(
            model_name='modelversion',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'mix'), _negated=True), models.Q(('adapter_path', ''), ('parent__isnull', False)), _connector='OR'), name='annotate_modelversion_mix'),
        ),
        migrations.AddConstraint(
            model_name='modelversion',
            constraint=models.CheckConstraint(condition=models.Q(('parent__isnull', True), ('kind', 'mix'), models.Q(('adapter_path', ''), _negated=True), _connector='OR'), name='annotate_modelversion_trained_has_adapter'),
        ),
        migrations.AddField(
            model_name='mixedadapter',
            name='mix',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='mixed', to='annotate.modelversion'),
        ),
        migrations.AddField(
            model_name='mixedadapter',
            name='version',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='mixed_in', to='annotate.modelversion'),
        ),
        migrations.AddField(
            model_name='trainingset',
            name='created_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='trainingset',
            name='people',
            field=models.ManyToManyField(related_name='training_sets', to='annotate.identitygroup'),
        ),
        migrations.AddField(
            model_name='run',
            name='training_set',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='runs', to='annotate.trainingset'),
        ),
        migrations.AddConstraint(
            model_name='run',
            constraint=models.UniqueConstraint(condition=models.Q(('status__in', ['waiting', 'queued', 'running', 'cancelling']), models.Q(('round__isnull', False), ('stage', 'prompts'), _connector='OR')), fields=('round', 'stage'), name='one_live_run_a_stage', nulls_distinct=False),
        ),
        migrations.AddConstraint(
            model_name='run',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('round', None), ('stage__in', ['prompts', 'register', 'dataset', 'sft'])), models.Q(models.Q(('stage__in', ['prompts', 'register', 'dataset', 'sft']), _negated=True), ('round__isnull', False)), _connector='OR'), name='annotate_run_some_before_rounds'),
        ),
        migrations.AddConstraint(
            model_name='run',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('stage', 'sft'), _negated=True), models.Q(('policy__isnull', False), ('training_set__isnull', False)), _connector='OR'), name='annotate_run_sft_starts_from_something'),
        ),
        migrations.AddConstraint(
            model_name='mixedadapter',
            constraint=models.UniqueConstraint(fields=('mix', 'position'), name='one_adapter_a_place'),
        ),
        migrations.AddConstraint(
            model_name='mixedadapter',
            constraint=models.UniqueConstraint(fields=('mix', 'version'), name='one_place_an_adapter'),
        ),
        migrations.AddConstraint(
            model_name='mixedadapter',
            constraint=models.CheckConstraint(condition=models.Q(('weight__gte', -4.0), ('weight__lte', 4.0), models.Q(('weight', 0), _negated=True)), name='annotate_mixedadapter_weight_in_range'),
        ),
        migrations.AddConstraint(
            model_name='trainingset',
            constraint=models.CheckConstraint(condition=models.Q(('num_instances__gte', 1)), name='annotate_trainingset_holds_something'),
        ),
    ]
