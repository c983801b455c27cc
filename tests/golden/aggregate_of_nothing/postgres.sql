SELECT concat('{"count":', coalesce((x.m0)::text, 'null'), ',"sum":{"stock":', coalesce((x.m1)::text, 'null'), ',"price":', CASE WHEN x.m2 IS NULL THEN 'null' ELSE concat('{"amount":', x.m2, ',"currency":"EUR"}') END, '},"avg":{"stock":', coalesce((x.m3)::text, 'null'), '},"min":{"name":', coalesce((to_json(x.m4))::text, 'null'), '}}')
FROM (SELECT count(*) AS m0, coalesce(sum(t0."stock"), 0) AS m1, coalesce(sum(t0."price"), 0) AS m2, ((sum(t0."stock"))::float8 / (count(t0."stock"))) AS m3, min(t0."name") AS m4
  FROM "products" AS t0
  WHERE (t0."state" = $1::text
    AND (t0."released_at" IS NULL
      OR $2::timestamptz >= t0."released_at")
    AND t0."origin" = $3::text)) AS x
LIMIT $4::bigint
