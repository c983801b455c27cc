"""What the API shows."""

from rest_framework.serializers import ModelSerializer

from .models import Category, Order, OrderItem, Product

PRODUCT = ("id", "name", "slug", "description", "price", "category", "stock", "created_at", "updated_at")


class CategorySerializer(ModelSerializer):
    class Meta:
        model = Category
        fields = ("id", "name", "slug", "created_at", "updated_at")


class ProductSerializer(ModelSerializer):
    class Meta:
        model = Product
        fields = PRODUCT


class ProductWithCategorySerializer(ModelSerializer):
    category = CategorySerializer()

    class Meta:
        model = Product
        fields = PRODUCT


class OrderItemSerializer(ModelSerializer):
    product = ProductWithCategorySerializer()

    class Meta:
        model = OrderItem
        fields = ("id", "order", "product", "quantity", "price", "created_at", "updated_at")


class OrderSerializer(ModelSerializer):
    items = OrderItemSerializer(many=True)

    class Meta:
        model = Order
        fields = ("id", "customer", "status", "total", "items", "created_at", "updated_at")
